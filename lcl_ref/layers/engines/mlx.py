"""The layer as one function of MLX, by the route that fits its geometry: windows all at once, or a tile at a time."""

from __future__ import annotations

import math
from typing import Any

import mlx.core as mx

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import mlx_tiles, tiling
from lcl_ref.layers.engines.accelerators.plans import KEPT_BYTES, room
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.mlx_operands import accelerated, split_channels, tile, widened

SMALL_BYTES = 4 << 20
"""Windows up to this size are made all at once: tiles would gain nothing."""

SAMPLE_BYTES = 64 << 20
"""So are those of a single sample up to this size: `mx.vmap` and `mx.export_function` take no tiles."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in their common dtype.

    Half types are summed in float32 and rounded once. Differentiable to any order.
    """
    dtype = mx.result_type(x, weight)
    if len(x) == 0:  # MLX leaves sums over nothing unset; what reads no operand has gradients of 0
        return mx.zeros(spec.y_shape(0), dtype)
    wide = widened(dtype)
    y = _at_once(spec, x, weight, wide) if _small(spec, len(x), wide.size) else mlx_tiles.output(spec)(x, weight)
    return (y if bias is None else y + bias.astype(wide)).astype(dtype)


def _small(spec: Spec, batch: int, itemsize: int) -> bool:
    """Return whether windows are few, or none overlaps since there is one position."""
    most = SAMPLE_BYTES if batch == 1 else room(SMALL_BYTES, KEPT_BYTES, accelerated=accelerated())
    return math.prod(spec.output_size) == 1 or tiling.windows_bytes(spec, batch, itemsize) <= most


def _at_once(spec: Spec, x: Any, weight: Any, dtype: Any) -> Any:
    """Return ``y (n, o*, co)`` by a product of matrices per position and group; size 1 broadcasts."""
    rank, count = spec.rank, groups(spec)
    group_axis = 2 * rank + 1
    order = (*range(1, rank + 1), group_axis, 0, *range(rank + 1, group_axis), group_axis + 1)
    windows = _windows(spec, split_channels(spec, x.astype(dtype)))
    rows = windows.transpose(order).reshape(*spec.output_size, count, len(x), spec.fan_in)
    matrices = weight.astype(dtype).reshape(*spec.weight_size, spec.fan_in, count, -1)
    y = rows @ matrices.swapaxes(-2, -3)  # (o*, g, n, co/g)
    return y.transpose(rank + 1, *range(rank), rank, rank + 2).reshape(spec.y_shape(len(x)))


def _windows(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (n, o*, k*, g, cg)`` by slices: a strided view has a scatter as gradient, which is slow."""
    rank = spec.rank
    if tiling.side_by_side(spec):  # no copies
        positions, taps = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
        return tile(spec, x).transpose(0, *positions, *taps, 2 * rank + 1, 2 * rank + 2)
    x = mx.pad(x, [(0, 0), *spec.padding, (0, 0), (0, 0)])
    geometry = zip(spec.output_size, spec.kernel_size, spec.stride, spec.dilation, strict=True)
    for axis, (count, kernel, stride, dilation) in enumerate(geometry, start=1):
        starts = [tap * dilation for tap in range(kernel)]
        before, last = (slice(None),) * axis, (count - 1) * stride + 1
        x = mx.stack([x[(*before, slice(start, start + last, stride))] for start in starts], axis=rank + axis)
    return x
