"""The layer as one function of Keras 3, by the engine of the framework it runs on.

Keras itself has no derivative to give a function of, so bounded memory is for the backends to provide.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Half types are summed in float32 and rounded once. On backends other than JAX, TensorFlow and torch, by `keras.ops`
    alone; then no groups, and no shared axes.
    """
    held = (None if array is None else ops.convert_to_tensor(array) for array in (x, weight, bias))
    return _ENGINES.get(keras.backend.backend(), _plain)(spec, *held)


def _on_jax(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    from lcl_backends.support.jax import layer
    from lcl_ref.layers.engines.jax import product

    return layer(spec, product)(x, weight, bias)


def _on_tensorflow(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    from lcl_ref.layers.engines.tensorflow import local

    return local(spec, x, weight, bias)


def _on_torch(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    from lcl_ref.layers.engines.torch import local

    return local(spec.to_json(), x, weight, bias)


_ENGINES = {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}


def _plain(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    """Return y by windows that exist all at once."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in ("float16", "bfloat16"):
        wide = (tensor if tensor is None else ops.cast(tensor, "float32") for tensor in (x, weight, bias))
        return ops.cast(_gathered(spec, *wide), dtype)
    return _gathered(spec, x, weight, bias)


def _gathered(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    """Return y by windows that exist all at once."""
    sites = index_tables.sites(spec)
    flat = ops.reshape(x, (-1, math.prod(spec.input_size), spec.in_channels))
    if index_tables.reads_padding(spec, sites):
        flat = ops.pad(flat, ((0, 0), (0, 1), (0, 0)))  # one more site, which holds zeros
    positions = math.prod(spec.output_size)
    windows = ops.reshape(ops.take(flat, sites, axis=1), (-1, positions, spec.fan_in))
    matrices = ops.reshape(weight, (positions, spec.fan_in, spec.out_channels))
    products = ops.matmul(ops.transpose(windows, (1, 0, 2)), matrices)  # (p, n, co)
    y = ops.reshape(ops.transpose(products, (1, 0, 2)), (-1, *spec.output_size, spec.out_channels))
    return y if bias is None else ops.add(y, bias)
