"""The recommended route of MLX: boxes of positions, each windows by a strided view and one batched matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lcl_backends._mlx import DTYPES, MlxLayer, prepared
from lcl_ref.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_backends.layers._mlx_boxes.local`."""

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
        from lcl_backends.layers._mlx_boxes import local

        return prepared(spec, dtype, partial(local, spec), weight, bias, np.asarray)
