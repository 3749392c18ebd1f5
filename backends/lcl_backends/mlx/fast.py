"""The recommended route of MLX, the engine of the layers to drop in: a tile of positions at a time, or all if few."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from lcl_backends.support.mlx import DTYPES, MlxLayer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_ref.layers.engines.mlx.local`."""

    declaration = Declaration(
        name="mlx.fast",
        framework="mlx",
        modules=("mlx.core",),
        summary="Windows of a tile of positions times their weights, all at once where few; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.mlx import local

        return prepared(spec, dtype, partial(local, spec), weight, bias, np.asarray)
