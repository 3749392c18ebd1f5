"""The layer as one function of MLX: all windows at once where they are small, a box of positions at a time else."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from lcl_backends.support.mlx import split_channels, tile, widened
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import mlx_tiles, tiling
from lcl_ref.layers.engines.index_tables import groups

WHOLE_BYTES = 64 << 20
"""Largest windows that are made all at once; every transformation of MLX takes them, `mx.vmap` and export included."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in their common dtype.

    Half types are summed in float32 and rounded once.
    """
    dtype = mx.result_type(x, weight)
    wide = widened(dtype)
    if len(x) == 0 or tiling.windows_bytes(spec, len(x), wide.size) > WHOLE_BYTES:
        return mlx_tiles.local(spec, x, weight, bias)
    y = _products(spec, windows(spec, split_channels(spec, x.astype(wide))), weight.astype(wide))
    return (y if bias is None else y + bias.astype(wide)).astype(dtype)


def windows(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (n, o*, k*, g, cg)`` by slices: a strided view has a scatter as gradient, which is slow."""
    rank = spec.rank
    if tiling.side_by_side(spec):  # windows side by side need no copies
        return tile(spec, x).transpose(
            0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1, 2 * rank + 2
        )
    x = mx.pad(x, ((0, 0), *spec.padding, (0, 0), (0, 0)))
    geometry = zip(spec.output_size, spec.kernel_size, spec.stride, spec.dilation, strict=True)
    for axis, (sites, taps, stride, dilation) in enumerate(geometry, start=1):
        seen = [slice(tap * dilation, tap * dilation + (sites - 1) * stride + 1, stride) for tap in range(taps)]
        before = (slice(None),) * axis
        x = mx.stack([x[(*before, sites_of_tap)] for sites_of_tap in seen], axis=rank + axis)
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
