"""The recommended route of MLX: tiles of positions, each windows by a strided view and one batched matrix product."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.mlx import DTYPES, MlxLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.mlx_tiles.local`."""

    declaration = declared(
        name="mlx.fast",
        summary="Windows of a tile of positions, batch last, times their weights in place; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
        recommended=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.mlx_tiles import local

        return MlxLayer(spec, local, weight, bias)
