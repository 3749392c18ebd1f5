"""The recommended route of MLX: boxes of positions, each windows by a strided view and one batched matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lcl_backends.support.mlx import DTYPES, MlxLayer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_ref.layers.engines.mlx_tiles.local`."""

    declaration = Declaration(
        name="mlx.fast",
        framework="mlx",
        modules=("mlx.core",),
        summary="Windows of a box of positions, batch last, times their weights in place; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.mlx_tiles import local

        return prepared(spec, dtype, partial(local, spec), weight, bias, np.asarray)
