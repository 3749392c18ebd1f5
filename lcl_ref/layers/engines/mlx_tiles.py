"""The layer as one differentiable function of MLX, a box of positions at a time (`lcl_ref.layers.engines.tiling`).

A layer has three products: the output, the cotangent of the input, the cotangent of the weight. Each is a chain of
boxes written into one result, which MLX does in place since nothing else refers to it. Left to itself, MLX would
differentiate the strided view of the windows by a scatter of every element.

Factors are laid out so that the innermost loop of a matrix product, the last axis of its right factor, runs over
memory: over samples in the output and the cotangent of the input, over the elements of a window in that of the weight.
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

from lcl_backends.support.mlx import widened
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import tiling
from lcl_ref.layers.engines.index_tables import gathered, groups
from lcl_ref.layers.engines.mlx_sum import Sum
from lcl_ref.layers.engines.tiling import Box

BOX_BYTES = 3 << 18
"""Aim for the windows of one box, half of it where pieces of the gradient of the weight, as large again, are held with
them: MLX works some ten operations ahead, and may hold the windows of as many boxes."""

FEW_BYTES = 4 << 20
"""Windows up to this size, in all, are one box: no result needs to be put together from pieces."""

SLIGHT = 12
"""Windows so many times smaller than the weights are made all at once for the cotangent of the weight, which then is
one product: of its pieces, far larger than their windows, MLX would hold a dozen."""

WIDE = 32
"""So many output channels are enough for the innermost loop of a product."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in their common dtype.

    Half types are summed in float32 and rounded once. Differentiable by `mx.grad` and `mx.vjp`, and fit for
    `mx.compile`.
    """
    dtype = mx.result_type(x, weight)
    if len(x) == 0:  # MLX leaves sums over nothing unset; what reads no operand has cotangents of 0
        return mx.zeros(spec.y_shape(0), dtype)
    y = _differentiable(spec)(x, weight)
    return (y if bias is None else y + bias.astype(y.dtype)).astype(dtype)


@lru_cache(256)
def _differentiable(spec: Spec) -> Callable[[Any, Any], Any]:
    """Return `_output` with cotangents of its own."""

    @mx.custom_function
    def product(x: Any, weight: Any) -> Any:
        return _output(spec, x, weight)

    @product.vjp
    def pull_back(primals: tuple[Any, Any], dy: Any, _: Any) -> tuple[Any, Any]:
        x, weight = primals
        dx, dw = _input_cotangent(spec, dy, weight), _weight_cotangent(spec, x, dy)
        return dx.astype(x.dtype), dw.astype(weight.dtype)

    return product


def _output(spec: Spec, x: Any, weight: Any) -> Any:
    """Return ``y (n, o*, co)``, wide."""
    dtype, first = widened(mx.result_type(x, weight)), _samples_first(spec)
    if _narrow_blocks(spec) and dtype == mx.float32:  # conv1d computes float64 in float32
        return _by_conv(spec, x.astype(dtype), weight.astype(dtype))
    y = Sum((len(x), *spec.output_size, groups(spec), spec.out_channels // groups(spec)), dtype)
    for part in tiling.parts(spec, len(x), dtype.size):
        sites = (_batch_first if first else _batch_last)(spec, x[part].astype(dtype))
        for box in tiling.boxes(spec, len(x[part]), dtype.size, _room(spec, len(x), dtype.size, BOX_BYTES)):
            windows, matrices = _windows(spec, sites, box, first), _matrices(spec, weight, box).astype(dtype)
            if first and matrices.shape[-1] < WIDE and matrices.nbytes <= BOX_BYTES:  # loops too short: dot products
                matrices = mx.contiguous(matrices.swapaxes(-1, -2)).swapaxes(-1, -2)
            product = (windows @ matrices).swapaxes(-1, -2) if first else matrices.swapaxes(-1, -2) @ windows
            y.put((part, *box), _from_rows(spec, product, box))
    return y.value.reshape(spec.y_shape(len(x)))


def _by_conv(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `_output` does of a linear map of blocks, by a convolution over channels."""
    matrices = weight.reshape(spec.group_channels, 1, -1).transpose(2, 1, 0)
    y = mx.conv1d(_batch_first(spec, x).reshape(len(x), 1, -1), matrices, groups=groups(spec))
    return y.reshape(spec.y_shape(len(x)))


def _input_cotangent(spec: Spec, dy: Any, weight: Any) -> Any:
    """Return ``dx (n, i*, ci)``: a cotangent per window, added up where windows overlap."""
    dtype, first = widened(mx.result_type(dy, weight)), _samples_first(spec)
    dx = Sum(spec.x_shape(len(dy)), dtype)
    for part in tiling.parts(spec, len(dy), dtype.size):
        batch = len(dy[part])
        total = Sum(tiling.laid_out_shape(spec, batch), dtype)
        for box in tiling.boxes(spec, batch, dtype.size, _room(spec, len(dy), dtype.size, BOX_BYTES)):
            matrices = total.before(_matrices(spec, weight, box).astype(dtype))
            rows = _rows(spec, dy[(part, *box)].astype(dtype), first)
            product = (rows @ matrices.swapaxes(-1, -2)).swapaxes(-1, -2) if first else matrices @ rows
            _fold(spec, product, box, total)
        dx.put((part,), _take_back(spec, total.value))
    return dx.value


def _weight_cotangent(spec: Spec, x: Any, dy: Any) -> Any:
    """Return ``dw (o*, k*, cg, co)``, wide; boxes add up along shared axes, and so do parts of the batch."""
    dtype, first = widened(mx.result_type(x, dy)), _samples_first(spec)
    dw, parts = Sum(spec.weight_shape, dtype), tiling.parts(spec, len(x), dtype.size)
    whole, weights = tiling.windows_bytes(spec, len(x), dtype.size), spec.parameter_count * dtype.size
    room = whole if len(parts) == 1 and SLIGHT * whole <= weights else _room(spec, len(x), dtype.size, BOX_BYTES // 2)
    for part in parts:
        sites = _batch_first(spec, x[part].astype(dtype))
        for box in tiling.boxes(spec, len(sites), dtype.size, room):
            rows = _rows(spec, dy[(part, *box)].astype(dtype), first)
            windows = _windows(spec, sites, box, samples_first=True)
            product = windows.swapaxes(-1, -2) @ rows if first else (rows @ windows).swapaxes(-1, -2)
            where = tiling.of_weight(spec, box)
            add = part.start > 0 or any(run.start > 0 for run, shared in zip(box, spec.shared, strict=True) if shared)
            dw.put(where, _from_matrices(spec, product, where), add=add)
    return dw.value


def _room(spec: Spec, batch: int, itemsize: int, room: int) -> int:
    """Return the bytes to aim for with the windows of one box, `room` where there are many."""
    whole = tiling.windows_bytes(spec, batch, itemsize)
    return whole if whole <= FEW_BYTES else room


def _samples_first(spec: Spec) -> bool:
    """Tell whether output channels are enough for the innermost loop, or the input serves as it lies."""
    return tiling.side_by_side(spec) or spec.out_channels // groups(spec) >= WIDE


def _narrow_blocks(spec: Spec) -> bool:
    """Tell whether the layer is a linear map of blocks so small that laying them out takes longer than the products."""
    blocks = groups(spec) > 1 and math.prod(spec.output_size) == math.prod(spec.kernel_size) == 1
    return blocks and not any(map(any, spec.padding)) and spec.out_channels // groups(spec) < WIDE


def _batch_first(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (n, sites*, g, cg)``: channels as the groups read them, zeros in the padding."""
    return _padded(_split(spec, x), [(0, 0), *spec.padding, (0, 0), (0, 0)])


def _batch_last(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (sites*, g, cg, n)``, in memory too: by one copy."""
    moved = mx.moveaxis(_split(spec, x), 0, -1)
    return mx.contiguous(_padded(moved, [*spec.padding, (0, 0), (0, 0), (0, 0)]))


def _split(spec: Spec, x: Any) -> Any:
    """``(n, i*, ci) -> (n, i*, g, cg)``: channels as the groups read them."""
    order = gathered(spec)
    seen = x if order is None else mx.take(x, mx.array(order), axis=-1)
    return seen.reshape(*seen.shape[:-1], groups(spec), spec.group_channels)


def _padded(x: Any, pairs: Sequence[tuple[int, int]]) -> Any:
    """Return x with zeros around it; MLX copies what it pads with nothing."""
    return mx.pad(x, pairs) if any(map(any, pairs)) else x


def _take_back(spec: Spec, total: Any) -> Any:
    """``(sites*, g, cg, n) -> (n, i*, ci)``: the adjoint of `_batch_last`."""
    kept = mx.moveaxis(total[tiling.inside(spec)], -1, 0)
    kept = kept.reshape(*kept.shape[:-2], groups(spec) * spec.group_channels)
    order = gathered(spec)
    if order is None:
        return kept
    return mx.zeros((*kept.shape[:-1], spec.in_channels), kept.dtype).at[..., mx.array(order)].add(kept)


def _windows(spec: Spec, sites: Any, box: Box, samples_first: bool) -> Any:
    """Return the windows of a box, ``(own*g, k*cg, tied*n)`` of `_batch_last` sites.

    With `samples_first`, ``(own*g, tied*n, k*cg)`` of `_batch_first` sites.
    """
    steps = list(itertools.accumulate((1, *sites.shape[:0:-1]), lambda step, size: step * size))[::-1]
    if samples_first:
        steps = [*steps[1:], steps[0]]
    *along, group, channel, sample = steps
    batch = sites.shape[0 if samples_first else -1]
    jumps = [step * stride for step, stride in zip(along, spec.stride, strict=True)]
    position = list(zip(tiling.counts(box), jumps, strict=True))
    own = [*(position[axis] for axis in tiling.own(spec)), (groups(spec), group)]
    tied = [*(position[axis] for axis in tiling.tied(spec)), (batch, sample)]
    spread = (step * dilation for step, dilation in zip(along, spec.dilation, strict=True))
    window = [*zip(spec.kernel_size, spread, strict=True), (spec.group_channels, channel)]
    axes = (own, tied, window) if samples_first else (own, window, tied)
    shape, strides = zip(*itertools.chain(*axes), strict=True)
    offset = sum(run.start * jump for run, jump in zip(box, jumps, strict=True))
    return mx.as_strided(sites, shape, strides, offset).reshape([_size(part) for part in axes])


def _size(axes: Sequence[tuple[int, int]]) -> int:
    return math.prod(length for length, _ in axes)


def _matrices(spec: Spec, weight: Any, box: Box) -> Any:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)`` of the box."""
    split = weight[tiling.of_weight(spec, box)].reshape(-1, spec.fan_in, groups(spec), weight.shape[-1] // groups(spec))
    return split.swapaxes(1, 2).reshape(-1, spec.fan_in, split.shape[-1])


def _from_matrices(spec: Spec, product: Any, where: Box) -> Any:
    """``(own*g, k*cg, co/g) -> (o*, k*, cg, co)``, o* those of `where`.

    MLX evaluates the operations of many boxes abreast, so each one fewer behind the product saves holding a product.
    """
    split = product
    if groups(spec) > 1:
        split = product.reshape(-1, groups(spec), *product.shape[1:]).swapaxes(1, 2)
    return split.reshape(*tiling.counts(where), *spec.weight_shape[spec.rank :])


def _rows(spec: Spec, dy: Any, samples_first: bool) -> Any:
    """``(n, o*, co) -> (own*g, co/g, tied*n)``, or ``(own*g, tied*n, co/g)``; o* are those of a box."""
    split = dy.reshape(*dy.shape[:-1], groups(spec), -1)
    own, tied = ([axis + 1 for axis in part] for part in (tiling.own(spec), tiling.tied(spec)))
    samples, channel = [*tied, 0], [spec.rank + 2]
    ordered = split.transpose(*own, spec.rank + 1, *(samples + channel if samples_first else channel + samples))
    matrices = math.prod(ordered.shape[: len(own) + 1])
    return ordered.reshape(matrices, *((-1, split.shape[-1]) if samples_first else (split.shape[-1], -1)))


def _from_rows(spec: Spec, product: Any, box: Box) -> Any:
    """``(own*g, co/g, tied*n) -> (n, o*, g, co/g)``, o* those of the box: the inverse of `_rows`."""
    counts, own, tied = tiling.counts(box), tiling.own(spec), tiling.tied(spec)
    lengths = [*(counts[axis] for axis in own), groups(spec), product.shape[1], *(counts[axis] for axis in tied), -1]
    order = [*own, spec.rank, spec.rank + 1, *tied, spec.rank + 2]  # of the axes (o*, g, co/g, n)
    back = [order.index(axis) for axis in (spec.rank + 2, *range(spec.rank + 2))]
    return product.reshape(lengths).transpose(back)


def _fold(spec: Spec, product: Any, box: Box, total: Sum) -> None:
    """Add windows ``(own*g, k*cg, tied*n)`` of the box to the sites ``(sites*, g, cg, n)`` they see."""
    counts, own, tied, rank = tiling.counts(box), tiling.own(spec), tiling.tied(spec), spec.rank
    positions = [[counts[axis] for axis in part] for part in (own, tied)]
    split = product.reshape(*positions[0], groups(spec), *spec.kernel_size, spec.group_channels, *positions[1], -1)
    order = [*own, rank, *range(rank + 1, 2 * rank + 2), *tied, 2 * rank + 2]  # of the axes (o*, g, k*, cg, n)
    pairs = itertools.chain.from_iterable((axis, rank + 1 + axis) for axis in range(rank))
    seen = split.transpose([order.index(axis) for axis in (*pairs, rank, 2 * rank + 1, 2 * rank + 2)])
    if tiling.side_by_side(spec):
        first = mx.moveaxis(seen, -1, 0).reshape(seen.shape[-1], *tiling.laid_out_shape(spec, 1)[:-1])
        total.put((), mx.moveaxis(first, 0, -1))
        return
    for axis in range(rank):  # (o1, k1, o2, k2, ..) -> (i1, o2, k2, ..) -> (i1, i2, ..)
        seen = _overlapped(seen, axis, spec.stride[axis], spec.dilation[axis])
    where = tuple(
        slice(run.start * stride, run.start * stride + length)
        for run, stride, length in zip(box, spec.stride, seen.shape, strict=False)
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
