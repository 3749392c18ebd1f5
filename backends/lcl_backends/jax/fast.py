"""The recommended route of JAX: a box of positions at a time, so that windows never exist all at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcl_backends.support.jax import DTYPES, JaxLayer, layer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`lcl_ref.layers.engines.jax.product` behind the adapter protocol."""

    declaration = Declaration(
        name="jax.fast",
        framework="jax",
        modules=("jax",),
        summary="Windows of a box of positions by a gather, batch last, times their weights; derivatives likewise.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Keep the canonical weights."""
        from lcl_ref.layers.engines.jax import product

        return prepared(spec, dtype, layer(spec, product), weight, bias, np.asarray)
