"""The layer as one function of Keras 3, by the engine of the framework it runs on.

Keras itself has no derivative to give a function of, so bounded memory is for the backends to provide.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import keras
from keras import ops

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables

ENGINES = ("jax", "tensorflow", "torch")
"""Frameworks with an engine of their own; only the one Keras runs on is imported."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Half types are summed in float32 and rounded once. On backends other than JAX, TensorFlow and torch, by `keras.ops`
    alone; then no groups, and no shared axes.
    """
    operands = [None if array is None else ops.convert_to_tensor(array) for array in (x, weight, bias)]
    framework = keras.backend.backend()
    if framework not in ENGINES:
        return _plain(spec, *operands)
    engine = import_module(f"lcl_ref.layers.engines.{framework}")
    return engine.local(spec.to_json() if framework == "torch" else spec, *operands)


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
