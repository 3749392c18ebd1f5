"""The layer as one function of `keras.ops`: on torch by its engine, elsewhere by one gather and one batched product."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from lcl_backends import _patches
from lcl_ref.spec import Spec


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias; no groups, no shared axes.

    Half types are summed in float32 and rounded once.
    """
    if keras.backend.backend() == "torch":
        from lcl_backends.layers import _torch_engine

        return _torch_engine.local(spec.to_json(), x, weight, bias)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in ("float16", "bfloat16"):
        wide = (tensor if tensor is None else ops.cast(tensor, "float32") for tensor in (x, weight, bias))
        return ops.cast(_gathered(spec, *wide), dtype)
    return _gathered(spec, x, weight, bias)


def _gathered(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    """Return y by windows that exist all at once."""
    sites = _patches.sites(spec)
    flat = ops.reshape(x, (-1, math.prod(spec.input_size), spec.in_channels))
    if _patches.reads_padding(spec, sites):
        flat = ops.pad(flat, ((0, 0), (0, 1), (0, 0)))  # one more site, which holds zeros
    positions = math.prod(spec.output_size)
    windows = ops.reshape(ops.take(flat, sites, axis=1), (-1, positions, spec.fan_in))
    matrices = ops.reshape(weight, (positions, spec.fan_in, spec.out_channels))
    products = ops.matmul(ops.transpose(windows, (1, 0, 2)), matrices)  # (p, n, co)
    y = ops.reshape(ops.transpose(products, (1, 0, 2)), (-1, *spec.output_size, spec.out_channels))
    return y if bias is None else ops.add(y, bias)
