"""Windows gathered through an index table, then one product of matrices per position and group."""

from __future__ import annotations

import math
from typing import Any

from lcl_backends.support import PRODUCT, Capabilities, grouped, sites, windows_shape
from lcl_backends.support.jax import DTYPES, JaxLayer, declared, route
from lcl_ref.core.spec import Spec


class Adapter:
    """Gather and `jax.numpy.einsum` behind the adapter protocol."""

    declaration = declared(
        name="jax.patches",
        summary="Windows gathered in one indexing operation, then one einsum, which broadcasts shared weights.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Split the output channels into groups; a reshape, for the canonical order is the one the gather gives."""
        return JaxLayer(spec, route(product), grouped(spec, weight), bias)


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, i*, g, cg), (o*, K, cg, g, co/g) -> (n, o*, g, co/g)``; padding is an index out of range."""
    import jax.numpy as jnp
    from jax import lax

    flat = x.reshape(len(x), math.prod(spec.input_size), *x.shape[-2:])
    windows = flat.at[:, sites(spec)].get(mode="fill", fill_value=0)  # (n, P, K, g, cg)
    windows = windows.reshape(windows_shape(spec, len(x)))
    return jnp.einsum(PRODUCT, windows, kernel, precision=lax.Precision.HIGHEST)
