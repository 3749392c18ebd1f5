"""Operands of the routes of MLX: dtypes, channels in groups, and windows that are a reshape of the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import gathered, groups


def widened(dtype: Any) -> Any:
    """Return the dtype sums are kept in: float32 for half types."""
    import mlx.core as mx

    return mx.float32 if dtype in (mx.float16, mx.bfloat16) else dtype


def from_numpy(array: Any) -> Any:
    """Return an MLX array of the same dtype; without naming it, MLX would turn float64 into float32.

    It refuses negative strides.
    """
    import mlx.core as mx

    return mx.array(np.ascontiguousarray(array), dtype=getattr(mx, array.dtype.name))


def split_channels(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (n, i*, g, cg)``, gathered first where there is a connection table."""
    import mlx.core as mx

    order = gathered(spec)
    ordered = x if order is None else mx.take(x, mx.array(order), axis=-1)
    return ordered.reshape(*x.shape[:-1], groups(spec), spec.group_channels)


def tile(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (n, o1, k1, o2, k2, ..., g, cg)``: windows that tile the input are a reshape."""
    sizes = [size for pair in zip(spec.output_size, spec.kernel_size, strict=True) for size in pair]
    return x.reshape(len(x), *sizes, *x.shape[-2:])


def accelerated() -> bool:
    """Return whether MLX computes on a graphics processor."""
    import mlx.core as mx

    return bool(mx.default_device() == mx.Device(mx.gpu))
