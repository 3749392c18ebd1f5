"""The three products of a layer in torch, a box of positions at a time; `_torch_engine` makes them differentiable.

A layer is bilinear in input and weight. It has three products: the output from input and weight, the cotangent of the
input from output and weight, the cotangent of the weight from input and output. Each walks the output in boxes of
positions whose windows fit a cache (`BOX_BYTES`): windows are copied there, multiplied by the weights of the box, which
are read where they lie, and dropped. Nothing that grows with the number of windows is ever held; a large batch is taken
in parts.

Where windows overlap (`_batch_last`), the input is laid out with the batch last, which makes a window of all samples a
few long runs of memory. Else it is read as it lies: of a kernel of size 1, of the whole input and of a block-diagonal
map, windows are then views, and nothing is copied at all.

In shapes, ``own*`` are positions along axes with weights of their own, ``tied*`` along shared axes, ``sites*`` those
of the padded input. Half types are widened on the way in, summed in float32 and rounded once (SPEC 8.3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lcl_ref.spec import Spec

BOX_BYTES = 2 << 20
"""Aim for the windows of one box: a second-level cache holds them, and the products are large enough to be fast."""

PART_BYTES = 8 << 20
"""Aim for the part of the batch laid out at a time, unless a twentieth of the weights is more."""

Box = tuple[slice, ...]
"""A block of positions, one slice per axis."""


def output(spec: Spec, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``; the bias is what each product starts from."""
    y = x.new_empty(spec.y_shape(len(x)))
    for part in _parts(spec, x, weight):
        laid = _laid_out(spec, x[part])
        for box in _boxes(spec, laid):
            place = _split(spec, y[part, *box])
            place.copy_(_product(spec, laid, weight, bias, box).reshape(place.shape))
    return y


def _product(spec: Spec, laid: Tensor, weight: Tensor, bias: Tensor | None, box: Box) -> Tensor:
    """Return the box's outputs ``(own*g, tied*n, co/g)``, made the other way round where that is the longer side."""
    windows, matrices = _windows(spec, laid, box).mT, _matrices(spec, weight, box)
    offsets = None if bias is None else _offsets(spec, bias, laid.shape[-1], box)
    if not _batch_last(spec) or windows.shape[1] <= matrices.shape[2]:
        return torch.bmm(windows, matrices) if offsets is None else torch.baddbmm(offsets, windows, matrices)
    left, right = matrices.mT, windows.mT
    return (torch.bmm(left, right) if offsets is None else torch.baddbmm(offsets.mT, left, right)).mT


def input_cotangent(spec: Spec, dy: Tensor, weight: Tensor) -> Tensor:
    """Return ``dx (n, i*, ci)`` of ``dy (n, o*, co)``: a cotangent per window, added up where windows overlap."""
    dx = dy.new_empty(spec.x_shape(len(dy)))
    for part in _parts(spec, dx, weight):
        direct = _as_it_lies(spec, dx)
        total = dx[part].zero_().movedim(0, -1) if direct else _room(spec, dx[part], dx.new_zeros)
        for box in _boxes(spec, total):
            matrices, rows = _matrices(spec, weight, box), _rows(spec, dy[part, *box])
            product = torch.bmm(matrices, rows.mT) if _batch_last(spec) else torch.bmm(rows, matrices.mT).mT
            _fold(spec, product, box, total)  # (own*g, k*cg, tied*n), in memory as `total` is
        if not direct:
            _take_back(spec, total, dx[part])
    return dx


def weight_cotangent(spec: Spec, x: Tensor, dy: Tensor) -> Tensor:
    """Return ``dw (o*, k*, cg, co)``: written once, in place, unless shared axes or parts of the batch add up."""
    like = dy.new_empty(1).expand(spec.weight_shape)
    parts = _parts(spec, x, like)
    adds_up = any(spec.shared) or len(parts) != 1
    dw = dy.new_zeros(like.shape, dtype=wide(dy)) if adds_up else torch.empty_like(like)
    for part in parts:
        laid = _laid_out(spec, x[part])
        for box in _boxes(spec, laid):
            windows, rows = _windows(spec, laid, box), _rows(spec, dy[part, *box])
            place = _matrices_view(spec, dw, box)
            if not adds_up and place.is_contiguous() and dw.dtype == windows.dtype:
                torch.bmm(windows, rows, out=place.view(-1, *place.shape[-2:]))
                continue
            product = torch.bmm(windows, rows).view(place.shape)  # (own*, 1.., g, k*cg, co/g)
            place.add_(product) if adds_up else place.copy_(product)
    return dw.to(dy.dtype)


def groups(spec: Spec) -> int:
    """Return the number of groups after gathering: a connection table makes every output channel its own group."""
    return spec.groups if spec.channel_table is None else spec.out_channels


def wide(tensor: Tensor) -> torch.dtype:
    """Return the dtype sums are kept in."""
    return torch.float32 if tensor.dtype.itemsize == 2 else tensor.dtype


def _batch_last(spec: Spec) -> bool:
    """Tell whether sites are in so many windows each that laying them out pays."""
    windows = math.prod(spec.output_size) * spec.fan_in * groups(spec)
    return windows > 4 * math.prod(_laid_out_shape(spec, 1))


def _parts(spec: Spec, x: Tensor, weight: Tensor) -> list[slice]:
    """Return slices of the batch, of even length, whose laid out input keeps to the working memory."""
    sample = math.prod(_laid_out_shape(spec, 1)) * wide(x).itemsize
    most = max(1, max(PART_BYTES, weight.numel() * weight.itemsize // 20) // sample)
    count = -(-len(x) // most)
    length = -(-len(x) // max(1, count))
    return [slice(start, min(start + length, len(x))) for start in range(0, len(x), length or 1)]


def _boxes(spec: Spec, laid: Tensor) -> Iterator[Box]:
    """Yield boxes that cover the output: whole along the last axes, a run along one, single along the first."""
    room = BOX_BYTES // (laid.shape[-1] * spec.fan_in * groups(spec) * laid.itemsize)
    lengths = []
    for size in reversed(spec.output_size):
        lengths.append(max(1, min(size, room)))
        room //= size
    runs = [
        [slice(start, min(start + length, size)) for start in range(0, size, length)]
        for size, length in zip(spec.output_size, reversed(lengths), strict=True)
    ]
    return itertools.product(*runs)


def _laid_out_shape(spec: Spec, batch: int) -> tuple[int, ...]:
    """``(sites*, g*cg, n)``."""
    sites = (size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True))
    return *sites, groups(spec) * spec.group_channels, batch


def _inside(spec: Spec) -> Box:
    """Return where the input lies in its padded form."""
    return tuple(slice(lo, lo + size) for size, (lo, _) in zip(spec.input_size, spec.padding, strict=True))


def _channels(spec: Spec, like: Tensor) -> Tensor:
    """Return the connection table, flat, where `like` is."""
    return torch.from_numpy(spec.channels.reshape(-1)).to(like.device)


def _as_it_lies(spec: Spec, x: Tensor) -> bool:
    """Tell whether ``x (n, i*, ci)`` serves without being laid out: few windows, nothing to pad, gather or widen."""
    changed = spec.channel_table is not None or any(map(any, spec.padding)) or wide(x) != x.dtype
    return not changed and not _batch_last(spec) and x.is_contiguous()


def _room(spec: Spec, x: Tensor, make: Callable[..., Tensor]) -> Tensor:
    """Return a wide tensor ``(sites*, g*cg, n)`` for ``x (n, i*, ci)``, in memory as it serves the layer."""
    *sites, batch = _laid_out_shape(spec, len(x))
    if _batch_last(spec):
        return make(*sites, batch, dtype=wide(x))
    return make(batch, *sites, dtype=wide(x)).movedim(0, -1)


def _laid_out(spec: Spec, x: Tensor) -> Tensor:
    """``(n, i*, ci) -> (sites*, g*cg, n)``, wide, with zeros in the padding."""
    last = x.movedim(0, -1)
    if _as_it_lies(spec, x):
        return last
    if spec.channel_table is not None:
        last = last.index_select(-2, _channels(spec, x))
    padded = any(map(any, spec.padding))
    laid = _room(spec, x, x.new_zeros if padded else x.new_empty)
    laid[_inside(spec)].copy_(last)
    return laid


def _take_back(spec: Spec, laid: Tensor, x: Tensor) -> None:
    """Write ``(sites*, g*cg, n)`` into ``x (n, i*, ci)``: the adjoint of `_laid_out`."""
    kept = laid[_inside(spec)]
    if spec.channel_table is not None:
        sums = laid.new_zeros(*spec.input_size, spec.in_channels, len(x))
        kept = sums.index_add_(-2, _channels(spec, x), kept)
    x.copy_(kept.movedim(-1, 0))


def _window_view(spec: Spec, laid: Tensor, box: Box, step: Sequence[int]) -> Tensor:
    """``(sites*, g*cg, n) -> (o*, g, k*, cg, n)``: windows at every `step`-th position of the box, as a view."""
    *along, channel, sample = laid.stride()
    starts = [jump * stride for jump, stride in zip(along, spec.stride, strict=True)]
    counts = [len(range(run.start, run.stop, pace)) for run, pace in zip(box, step, strict=True)]
    moves = [start * pace for start, pace in zip(starts, step, strict=True)]
    spread = [jump * dilation for jump, dilation in zip(along, spec.dilation, strict=True)]
    shape = (*counts, groups(spec), *spec.kernel_size, spec.group_channels, laid.shape[-1])
    strides = (*moves, channel * spec.group_channels, *spread, channel, sample)
    offset = sum(run.start * start for run, start in zip(box, starts, strict=True))
    return laid.as_strided(shape, strides, laid.storage_offset() + offset)


def _window_order(spec: Spec) -> list[int]:
    """Return the order ``(own*, g, k*, cg, tied*, n)`` of the axes ``(o*, g, k*, cg, n)``."""
    own, tied = ([axis for axis in range(spec.rank) if spec.shared[axis] is kind] for kind in (False, True))
    return [*own, *range(spec.rank, 2 * spec.rank + 2), *tied, 2 * spec.rank + 2]


def _windows(spec: Spec, laid: Tensor, box: Box) -> Tensor:
    """``(sites*, g*cg, n) -> (own*g, k*cg, tied*n)``; a copy, unless windows lie side by side already."""
    ordered = _window_view(spec, laid, box, (1,) * spec.rank).permute(_window_order(spec))
    own, taps = spec.rank - sum(spec.shared) + 1, spec.rank + 1
    lengths = [math.prod(part) for part in (ordered.shape[:own], ordered.shape[own + taps :])]
    if _batch_last(spec):
        return ordered.reshape(lengths[0], spec.fan_in, lengths[1])
    rows = ordered.permute(*range(own), *range(own + taps, ordered.ndim), *range(own, own + taps))
    return rows.reshape(*lengths, spec.fan_in).mT


def _fold(spec: Spec, windows: Tensor, box: Box, total: Tensor) -> None:
    """Add ``(own*g, k*cg, tied*n)`` to the sites ``(sites*, g*cg, n)`` the windows see.

    Windows are added in rounds of such as lie apart, so that each round is one addition: as many rounds per axis as
    windows overlap.
    """
    order = _window_order(spec)
    whole = _window_view(spec, total, box, (1,) * spec.rank)
    ordered = windows.reshape([whole.shape[axis] for axis in order])
    source = ordered.permute([order.index(axis) for axis in range(len(order))])
    axes = zip(box, spec.kernel_size, spec.dilation, spec.stride, strict=True)
    rounds = [
        min(run.stop - run.start, -(-((kernel - 1) * dilation + 1) // stride)) for run, kernel, dilation, stride in axes
    ]
    for first in itertools.product(*map(range, rounds)):
        later = tuple(slice(run.start + start, run.stop) for run, start in zip(box, first, strict=True))
        each = tuple(slice(start, None, pace) for start, pace in zip(first, rounds, strict=True))
        _window_view(spec, total, later, rounds).add_(source[each])


def _matrices_view(spec: Spec, weight: Tensor, box: Box) -> Tensor:
    """``(o*, k*, cg, co) -> (own*, g, k*cg, co/g)`` of the box, a view; shared axes keep their length of 1."""
    own = tuple(slice(None) if shared else run for run, shared in zip(box, spec.shared, strict=True))
    split = weight[own].flatten(spec.rank, -2).unflatten(-1, (groups(spec), -1))
    return split.movedim(-2, spec.rank)


def _matrices(spec: Spec, weight: Tensor, box: Box) -> Tensor:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)`` of the box."""
    return _matrices_view(spec, weight, box).flatten(0, spec.rank).to(wide(weight))


def _split(spec: Spec, y: Tensor) -> Tensor:
    """``(n, o*, co) -> (own*, g, tied*, n, co/g)``, a view; o* are the positions of a box."""
    own, tied = ([axis + 1 for axis in range(spec.rank) if spec.shared[axis] is kind] for kind in (False, True))
    return y.unflatten(-1, (groups(spec), -1)).permute(*own, spec.rank + 1, *tied, 0, spec.rank + 2)


def _rows(spec: Spec, y: Tensor) -> Tensor:
    """``(n, o*, co) -> (own*g, tied*n, co/g)``."""
    split, own = _split(spec, y), spec.rank - sum(spec.shared)
    return split.reshape(math.prod(split.shape[: own + 1]), -1, split.shape[-1]).to(wide(y))


def _offsets(spec: Spec, bias: Tensor, batch: int, box: Box) -> Tensor:
    """``(o*, co)`` or ``(co,)`` ``-> (own*g, tied*n, co/g)`` of the box; 1 in place of n where no axis is shared."""
    counts = [run.stop - run.start for run in box]
    part = bias[box] if spec.bias == "position" else bias.expand(*counts, -1)
    return _rows(spec, part.expand(batch if any(spec.shared) else 1, *part.shape))
