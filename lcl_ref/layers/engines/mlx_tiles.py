"""The three products of a layer in MLX, a tile of positions at a time (`lcl_ref.layers.engines.tiling`).

They are the output, the gradient of the input and the gradient of the weight; the derivatives of each are the other
two. Each is a chain of tiles written into one result, which MLX does in place since nothing else refers to it. Left to
itself, MLX would differentiate the strided view of the windows by a scatter of every element.

Factors lie in memory so that the innermost loop of a matrix product, the last axis of its right factor, runs over
memory: over samples in the output and the gradient of the input, over the elements of a window in that of the weight.
The BLAS inside MLX's wheels for Linux takes them as they come, and a dot product costs it twice as much.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any

import mlx.core as mx

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import tiling
from lcl_ref.layers.engines.accelerators.plans import BUDGET_BYTES, room
from lcl_ref.layers.engines.index_tables import gathered, groups, width
from lcl_ref.layers.engines.mlx_operands import accelerated, split_channels, widened
from lcl_ref.layers.engines.mlx_sum import Sum
from lcl_ref.layers.engines.tiling import Tile

TILE_BYTES = 3 << 18
"""Aim for the windows of one tile, half of it where pieces of the gradient of the weight, as large again, are held with
them: MLX works some ten operations ahead, and may hold the windows of as many tiles."""

SLIGHT = 12
"""Windows so many times smaller than the weights are made all at once for the gradient of the weight, which then is
one product: of its pieces, far larger than their windows, MLX would hold a dozen."""

WIDE = 32
"""So many output channels are enough for the innermost loop of a product."""


Product = Callable[[Any, Any], Any]


def _differentiable(run: Callable[[Spec, Any, Any], Any], cotangents: Callable[..., Any]) -> Callable[[Spec], Product]:
    """Return what makes the product `run` of a layer, with ``cotangents(spec, first, second, that of the product)``."""

    @lru_cache(256)
    def made(spec: Spec) -> Product:
        @mx.custom_function
        def product(first: Any, second: Any) -> Any:
            return run(spec, first, second)

        @product.vjp
        def pull_back(factors: tuple[Any, Any], given: Any, _: Any) -> tuple[Any, ...]:
            parts = cotangents(spec, *factors, given)
            return tuple(part.astype(factor.dtype) for part, factor in zip(parts, factors, strict=True))

        return product

    return made


def _output(spec: Spec, x: Any, weight: Any) -> Any:
    """Return ``y (n, o*, co)``, wide."""
    dtype, first = widened(mx.result_type(x, weight)), _samples_first(spec)
    y = Sum((len(x), *spec.output_size, groups(spec), width(spec)), dtype)
    for part in tiling.parts(spec, len(x), dtype.size):
        sites = (_batch_first if first else _batch_last)(spec, x[part].astype(dtype))
        for tile in tiling.tiles(spec, len(x[part]), dtype.size, _tile_bytes()):
            windows, matrices = _windows(spec, sites, tile, first), _matrices(spec, weight, tile).astype(dtype)
            if first and matrices.shape[-1] < WIDE and matrices.nbytes <= TILE_BYTES:  # loops too short: dot products
                matrices = mx.contiguous(matrices.swapaxes(-1, -2)).swapaxes(-1, -2)
            product = (windows @ matrices).swapaxes(-1, -2) if first else matrices.swapaxes(-1, -2) @ windows
            y.put((part, *tile), _from_rows(spec, product, tile))
    return y.value.reshape(spec.y_shape(len(x)))


def _input_gradient(spec: Spec, dy: Any, weight: Any) -> Any:
    """Return ``dx (n, i*, ci)``: a gradient per window, added up where windows overlap."""
    dtype, first = widened(mx.result_type(dy, weight)), _samples_first(spec)
    dx = Sum(spec.x_shape(len(dy)), dtype)
    for part in tiling.parts(spec, len(dy), dtype.size):
        batch = len(dy[part])
        total = Sum(tiling.padded_shape(spec, batch), dtype)
        for tile in tiling.tiles(spec, batch, dtype.size, _tile_bytes()):
            matrices = total.before(_matrices(spec, weight, tile).astype(dtype))
            rows = _rows(spec, dy[(part, *tile)].astype(dtype), first)
            product = (rows @ matrices.swapaxes(-1, -2)).swapaxes(-1, -2) if first else matrices @ rows
            _fold(spec, product, tile, total)
        dx.put((part,), _unpadded(spec, total.value))
    return dx.value


def _weight_gradient(spec: Spec, x: Any, dy: Any) -> Any:
    """Return ``dw (o*, k*, cg, co)``, wide; tiles add up along shared axes, and so do parts of the batch."""
    dtype, first = widened(mx.result_type(x, dy)), _samples_first(spec)
    dw, parts = Sum(spec.weight_shape, dtype), tiling.parts(spec, len(x), dtype.size)
    whole, weights = tiling.windows_bytes(spec, len(x), dtype.size), spec.parameter_count * dtype.size
    room = whole if len(parts) == 1 and SLIGHT * whole <= weights else _tile_bytes() // 2
    for part in parts:
        sites = _batch_first(spec, x[part].astype(dtype))
        for tile in tiling.tiles(spec, len(sites), dtype.size, room):
            rows = _rows(spec, dy[(part, *tile)].astype(dtype), first)
            windows = _windows(spec, sites, tile, samples_first=True)
            product = windows.swapaxes(-1, -2) @ rows if first else (rows @ windows).swapaxes(-1, -2)
            where = tiling.of_weight(spec, tile)
            add = part.start > 0 or any(run.start > 0 for run, shared in zip(tile, spec.shared, strict=True) if shared)
            dw.put(where, _from_matrices(spec, product, where), add=add)
    return dw.value


def _tile_bytes() -> int:
    """Return what to aim for, by the device: one on which calls are dear and memory is not takes the whole budget."""
    return room(TILE_BYTES, BUDGET_BYTES, accelerated=accelerated())


def _samples_first(spec: Spec) -> bool:
    """Return whether output channels are enough for the innermost loop, or the input serves as it lies."""
    return tiling.side_by_side(spec) or width(spec) >= WIDE


def _batch_first(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (n, sites*, g, cg)``: channels as the groups read them, zeros in the padding."""
    return _padded(split_channels(spec, x), [(0, 0), *spec.padding, (0, 0), (0, 0)])


def _batch_last(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (sites*, g, cg, n)``, in memory too: by one copy."""
    moved = mx.moveaxis(split_channels(spec, x), 0, -1)
    return mx.contiguous(_padded(moved, [*spec.padding, (0, 0), (0, 0), (0, 0)]))


def _padded(x: Any, pairs: Sequence[tuple[int, int]]) -> Any:
    """Return x with zeros around it; MLX copies what it pads with nothing."""
    return mx.pad(x, list(pairs)) if any(map(any, pairs)) else x


def _unpadded(spec: Spec, total: Any) -> Any:
    """``(sites*, g, cg, n) -> (n, i*, ci)``: the adjoint of `_batch_last`."""
    kept = mx.moveaxis(total[tiling.inside(spec)], -1, 0)
    kept = kept.reshape(*kept.shape[:-2], groups(spec) * spec.group_channels)
    order = gathered(spec)
    if order is None:
        return kept
    return mx.zeros((*kept.shape[:-1], spec.in_channels), kept.dtype).at[..., mx.array(order)].add(kept)


def _windows(spec: Spec, sites: Any, tile: Tile, samples_first: bool) -> Any:
    """Return the windows of a tile, ``(own*g, k*cg, tied*n)`` of `_batch_last` sites.

    With `samples_first`, ``(own*g, tied*n, k*cg)`` of `_batch_first` sites.
    """
    steps = list(itertools.accumulate((1, *sites.shape[:0:-1]), lambda step, size: step * size))[::-1]
    if samples_first:
        steps = [*steps[1:], steps[0]]
    *along, group, channel, sample = steps
    batch = sites.shape[0 if samples_first else -1]
    jumps = [step * stride for step, stride in zip(along, spec.stride, strict=True)]
    position = list(zip(tiling.counts(tile), jumps, strict=True))
    own = [*(position[axis] for axis in tiling.own(spec)), (groups(spec), group)]
    tied = [*(position[axis] for axis in tiling.tied(spec)), (batch, sample)]
    spread = (step * dilation for step, dilation in zip(along, spec.dilation, strict=True))
    window = [*zip(spec.kernel_size, spread, strict=True), (spec.group_channels, channel)]
    axes = (own, tied, window) if samples_first else (own, window, tied)
    shape, strides = zip(*itertools.chain(*axes), strict=True)
    offset = sum(run.start * jump for run, jump in zip(tile, jumps, strict=True))
    return mx.as_strided(sites, shape, strides, offset).reshape([_size(part) for part in axes])


def _size(axes: Sequence[tuple[int, int]]) -> int:
    return math.prod(length for length, _ in axes)


def _matrices(spec: Spec, weight: Any, tile: Tile) -> Any:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)`` of the tile."""
    split = weight[tiling.of_weight(spec, tile)].reshape(-1, spec.fan_in, groups(spec), width(spec))
    return split.swapaxes(1, 2).reshape(-1, spec.fan_in, split.shape[-1])


def _from_matrices(spec: Spec, product: Any, where: Tile) -> Any:
    """``(own*g, k*cg, co/g) -> (o*, k*, cg, co)``, o* those of `where`.

    MLX evaluates the operations of many tiles abreast, so each one fewer behind the product saves holding a product.
    """
    split = product
    if groups(spec) > 1:
        split = product.reshape(-1, groups(spec), *product.shape[1:]).swapaxes(1, 2)
    return split.reshape(*tiling.counts(where), *spec.weight_shape[spec.rank :])


def _rows(spec: Spec, dy: Any, samples_first: bool) -> Any:
    """``(n, o*, co) -> (own*g, co/g, tied*n)``, or ``(own*g, tied*n, co/g)``; o* are those of a tile."""
    split = dy.reshape(*dy.shape[:-1], groups(spec), -1)
    own, tied = ([axis + 1 for axis in part] for part in (tiling.own(spec), tiling.tied(spec)))
    samples, channel = [*tied, 0], [spec.rank + 2]
    ordered = split.transpose(*own, spec.rank + 1, *(samples + channel if samples_first else channel + samples))
    matrices = math.prod(ordered.shape[: len(own) + 1])
    return ordered.reshape(matrices, *((-1, split.shape[-1]) if samples_first else (split.shape[-1], -1)))


def _from_rows(spec: Spec, product: Any, tile: Tile) -> Any:
    """``(own*g, co/g, tied*n) -> (n, o*, g, co/g)``, o* those of the tile: the inverse of `_rows`."""
    counts, own, tied = tiling.counts(tile), tiling.own(spec), tiling.tied(spec)
    lengths = [*(counts[axis] for axis in own), groups(spec), product.shape[1], *(counts[axis] for axis in tied), -1]
    order = [*own, spec.rank, spec.rank + 1, *tied, spec.rank + 2]  # of the axes (o*, g, co/g, n)
    back = [order.index(axis) for axis in (spec.rank + 2, *range(spec.rank + 2))]
    return product.reshape(lengths).transpose(back)


def _fold(spec: Spec, product: Any, tile: Tile, total: Sum) -> None:
    """Add windows ``(own*g, k*cg, tied*n)`` of the tile to the sites ``(sites*, g, cg, n)`` they see."""
    counts, own, tied, rank = tiling.counts(tile), tiling.own(spec), tiling.tied(spec), spec.rank
    positions = [[counts[axis] for axis in part] for part in (own, tied)]
    split = product.reshape(*positions[0], groups(spec), *spec.kernel_size, spec.group_channels, *positions[1], -1)
    order = [*own, rank, *range(rank + 1, 2 * rank + 2), *tied, 2 * rank + 2]  # of the axes (o*, g, k*, cg, n)
    pairs = itertools.chain.from_iterable((axis, rank + 1 + axis) for axis in range(rank))
    seen = split.transpose([order.index(axis) for axis in (*pairs, rank, 2 * rank + 1, 2 * rank + 2)])
    if tiling.side_by_side(spec):
        first = mx.moveaxis(seen, -1, 0).reshape(seen.shape[-1], *tiling.padded_shape(spec, 1)[:-1])
        total.put((), mx.moveaxis(first, 0, -1))
        return
    for axis in range(rank):  # (o1, k1, o2, k2, ..) -> (i1, o2, k2, ..) -> (i1, i2, ..)
        seen = _overlapped(seen, axis, spec.stride[axis], spec.dilation[axis])
    where = tuple(
        slice(run.start * stride, run.start * stride + length)
        for run, stride, length in zip(tile, spec.stride, seen.shape, strict=False)
    )
    total.put(where, seen, add=True)


def _overlapped(seen: Any, axis: int, stride: int, dilation: int) -> Any:
    """``(.., o, k, ..) -> (.., i, ..)``: add tap k of position o to site ``o * stride + k * dilation``.

    Sites a stride apart make up a phase; each tap is one addition to the phase it falls into. Where there are fewer
    positions than taps, they exchange their parts.
    """
    if seen.shape[axis] < seen.shape[axis + 1]:
        seen, stride, dilation = seen.swapaxes(axis, axis + 1), dilation, stride
    count, taps = seen.shape[axis : axis + 2]
    length = (count - 1) * stride + (taps - 1) * dilation + 1
    every, rows = (slice(None),) * (axis + 1), -(-length // stride)
    phases: list[list[Any]] = [[] for _ in range(stride)]
    for tap in range(taps):
        late, phase = divmod(tap * dilation, stride)
        borders = [(late, rows - count - late) if number == axis else (0, 0) for number in range(seen.ndim - 1)]
        phases[phase].append(mx.pad(seen[(*every, tap)], borders))
    empty = mx.zeros_like(phases[0][0])
    whole = mx.stack([reduce(operator.add, phase or [empty]) for phase in phases], axis + 1)
    sites = whole.reshape(*whole.shape[:axis], rows * stride, *whole.shape[axis + 2 :])
    return sites[(*every[1:], slice(0, length))]


output: Callable[[Spec], Product] = _differentiable(
    _output, lambda spec, x, weight, dy: (input_gradient(spec)(dy, weight), weight_gradient(spec)(x, dy))
)
input_gradient: Callable[[Spec], Product] = _differentiable(
    _input_gradient, lambda spec, dy, weight, ddx: (output(spec)(ddx, weight), weight_gradient(spec)(ddx, dy))
)
weight_gradient: Callable[[Spec], Product] = _differentiable(
    _weight_gradient, lambda spec, x, dy, ddw: (input_gradient(spec)(dy, ddw), output(spec)(x, ddw))
)
