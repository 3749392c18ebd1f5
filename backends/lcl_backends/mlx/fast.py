"""The recommended route of MLX, the engine of the layers to drop in: a tile of positions at a time, or all if few."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.mlx import DTYPES, MlxLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.mlx.local`."""

    declaration = declared(
        name="mlx.fast",
        summary="Windows of a tile of positions times their weights, all at once where few; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=DTYPES,
            declines={"transform/vmap": "MLX maps no as_strided, by which windows are made"},
        ),
        recommended=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.mlx import local

        return MlxLayer(spec, local, weight, bias)
