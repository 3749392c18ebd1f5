"""Windows by one gather, then one einsum, in `keras.ops` alone: one route on three backends of Keras 3.

Keras fixes its backend at its first import, so those of one backend need a process without the others.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

from lcl_backends.support import (
    PRODUCT,
    Capabilities,
    Declaration,
    gathered,
    grouped,
    keras3,
    reads_padding,
    sites,
    windows_shape,
)
from lcl_backends.support.jax import DTYPES
from lcl_ref.core.spec import Spec


def _linear(spec: Spec, table: Any, x: Any, weight: Any) -> Any:
    """Gather ``(n, i*, ci) -> (n, o*, K, g, cg)``, padding being one more site that holds zeros, and multiply."""
    from keras import ops

    batch, order = x.shape[0], gathered(spec)
    seen = x if order is None else ops.take(x, order, axis=-1)
    flat = ops.reshape(seen, (batch, math.prod(spec.input_size), seen.shape[-1]))
    if reads_padding(spec, table):
        flat = ops.pad(flat, ((0, 0), (0, 1), (0, 0)))
    shaped = ops.reshape(ops.take(flat, table, axis=1), windows_shape(spec, batch))
    return ops.reshape(ops.einsum(PRODUCT, shaped, weight), spec.y_shape(batch))


def _apply(table: Any, spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)``; half types are summed in float32 and rounded once."""
    from keras import backend, ops

    dtype = backend.standardize_dtype(x.dtype)
    wide = "float32" if dtype in ("float16", "bfloat16") else dtype
    y = _linear(spec, table, ops.cast(x, wide), ops.cast(weight, wide))
    return ops.cast(y if bias is None else ops.add(y, ops.cast(bias, wide)), dtype)


@cache
def _function(spec: Spec) -> Any:
    return partial(_apply, sites(spec))


def _declaration(backend: str) -> Declaration:
    return keras3.declared(
        "patches",
        backend,
        summary=f"keras.ops on {backend}: one take of every window from a flat table of input sites, then one einsum.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )


class _Patches(keras3.KerasAdapter):
    def parts(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tuple[Any, ...]:
        """Compute the table of sites; the weight is reshaped only."""
        return _function(spec), grouped(spec, weight), bias


class OnJax(_Patches):
    """Compiled by JAX."""

    declaration = _declaration("jax")


class OnTensorflow(_Patches):
    """Run eagerly by TensorFlow."""

    declaration = _declaration("tensorflow")


class OnTorch(_Patches):
    """Run eagerly by torch."""

    declaration = _declaration("torch")
