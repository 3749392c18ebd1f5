"""The layer as one function of MLX: windows by slices along one axis after the other, then one batched product."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from lcl_backends._mlx import split_channels
from lcl_backends._patches import groups
from lcl_ref.spec import Spec


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in their common dtype.

    Half types are summed in float32 and rounded once.
    """
    dtype = mx.result_type(x, weight)
    if len(x) == 0:  # MLX leaves sums over nothing unset; what reads no operand has cotangents of 0
        return mx.zeros(spec.y_shape(0), dtype)
    wide = mx.float32 if dtype in (mx.float16, mx.bfloat16) else dtype
    y = _products(spec, windows(spec, split_channels(spec, x.astype(wide))), weight.astype(wide))
    return (y if bias is None else y + bias.astype(wide)).astype(dtype)


def windows(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (n, o*, k*, g, cg)`` by slices: a strided view has a scatter as gradient, which is slow."""
    x = mx.pad(x, ((0, 0), *spec.padding, (0, 0), (0, 0)))
    geometry = zip(spec.output_size, spec.kernel_size, spec.stride, spec.dilation, strict=True)
    for axis, (sites, taps, stride, dilation) in enumerate(geometry, start=1):
        seen = [slice(tap * dilation, tap * dilation + (sites - 1) * stride + 1, stride) for tap in range(taps)]
        before = (slice(None),) * axis
        x = mx.stack([x[(*before, sites_of_tap)] for sites_of_tap in seen], axis=spec.rank + axis)
    return x


def _products(spec: Spec, seen: Any, weight: Any) -> Any:
    """``(n, o*, k*, g, cg), (o*, k*, cg, co) -> (n, o*, co)``: a matrix per position and group; size 1 broadcasts."""
    rank, batch, count = spec.rank, len(seen), groups(spec)
    group_axis = 2 * rank + 1
    order = (*range(1, rank + 1), group_axis, 0, *range(rank + 1, group_axis), group_axis + 1)
    rows = seen.transpose(order).reshape(*spec.output_size, count, batch, spec.fan_in)
    blocks = weight.reshape(*spec.weight_size, spec.fan_in, count, -1)
    y = rows @ blocks.swapaxes(-2, -3)  # (o*, g, n, co/g)
    return y.transpose(rank + 1, *range(rank), rank, rank + 2).reshape(spec.y_shape(batch))
