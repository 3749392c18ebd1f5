"""The recommended route of JAX: a tile of positions at a time, so that windows never exist all at once."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.jax import DTYPES, JaxLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """`lcl_ref.layers.engines.jax.by_geometry` behind the adapter protocol."""

    declaration = declared(
        name="jax.fast",
        summary="Windows of a tile of positions by a gather, batch last, times their weights; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
        recommended=True,
        holds="tiles",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.jax import by_geometry

        return JaxLayer(spec, by_geometry, weight, bias)
