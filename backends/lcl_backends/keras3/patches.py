"""Windows by one gather, then one einsum, in `keras.ops` alone: one route on three backends of Keras 3.

Keras fixes its backend at its first import, so those of one backend need a process without the others.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

from lcl_backends.support import keras3, tensorflow
from lcl_backends.support.jax import DTYPES, JaxLayer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables
from lcl_ref.suite.adapter import Capabilities, Declaration


def _linear(spec: Spec, sites: Any, x: Any, weight: Any) -> Any:
    """Gather ``(n, i*, ci) -> (n, o*, K, g, cg)``, padding being one more site that holds zeros, and multiply."""
    from keras import ops

    batch, order = x.shape[0], index_tables.gathered(spec)
    seen = x if order is None else ops.take(x, order, axis=-1)
    flat = ops.reshape(seen, (batch, math.prod(spec.input_size), seen.shape[-1]))
    if index_tables.reads_padding(spec, sites):
        flat = ops.pad(flat, ((0, 0), (0, 1), (0, 0)))
    shaped = ops.reshape(ops.take(flat, sites, axis=1), index_tables.windows_shape(spec, batch))
    return ops.reshape(ops.einsum(index_tables.PRODUCT, shaped, weight), spec.y_shape(batch))


def _apply(spec: Spec, sites: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)``; half types are summed in float32 and rounded once."""
    from keras import backend, ops

    dtype = backend.standardize_dtype(x.dtype)
    wide = "float32" if dtype in ("float16", "bfloat16") else dtype
    y = _linear(spec, sites, ops.cast(x, wide), ops.cast(weight, wide))
    return ops.cast(y if bias is None else ops.add(y, ops.cast(bias, wide)), dtype)


@cache
def _function(spec: Spec) -> Any:
    return partial(_apply, spec, index_tables.sites(spec))


def _parts(spec: Spec, weight: Any) -> tuple[Any, Any]:
    """Return the function of a layer, and its weight as that takes it."""
    return _function(spec), index_tables.grouped(spec, weight)


def _declaration(backend: str, suffix: str = "") -> Declaration:
    return Declaration(
        name=f"keras3.patches{suffix}",
        framework="keras",
        summary=f"keras.ops on {backend}: one take of every window from a flat table of input sites, then one einsum.",
        layout="canonical",
        **keras3.start(backend),
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )


class OnJax:
    """Compiled by JAX."""

    declaration = _declaration("jax")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Choose the backend and compute the table of sites; the weight is reshaped only."""
        keras3.load("jax")
        return prepared(spec, dtype, *_parts(spec, weight), bias, lambda dw: dw.reshape(spec.weight_shape))


class OnTensorflow:
    """Run eagerly by TensorFlow."""

    declaration = _declaration("tensorflow", ".tensorflow")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tensorflow.TensorflowLayer:
        """Choose the backend, compute the table of sites and hand over the weights once."""
        keras3.load("tensorflow")
        return tensorflow.prepared(spec, *_parts(spec, weight), bias)


class OnTorch:
    """Run eagerly by torch."""

    declaration = _declaration("torch", ".torch")

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> keras3.TorchLayer:
        """Choose the backend, compute the table of sites and hand over the weights once."""
        keras3.load("torch")
        return keras3.TorchLayer(spec, *_parts(spec, weight), bias)
