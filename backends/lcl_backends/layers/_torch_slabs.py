"""The three products of a layer in torch, a box of positions at a time; `_torch_engine` makes them differentiable.

A layer is bilinear in input and weight. It has three products: the output from input and weight, the cotangent of the
input from output and weight, the cotangent of the weight from input and output. Each walks the output in boxes of
positions (`_torch_route` decides how): the windows of a box are one matrix per weight, as a view or copied into scratch
memory, multiplied by the weights of the box, which are read where they lie. Nothing that grows with the number of
windows is ever held.

In shapes, ``own*`` are positions along axes with weights of their own, ``tied*`` along shared axes, ``sites*`` those
of the padded input. Half types are widened on the way in, summed in float32 and rounded once (SPEC 8.3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lcl_backends.layers._torch_memory import Scratch, empty, scratch_of, zeros
from lcl_backends.layers._torch_route import Box, Route, wide
from lcl_ref.padding import window_extent


def output(route: Route, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``; the bias is added in the wide dtype."""
    spec = route.spec
    y, offsets = empty(spec.y_shape(len(x)), x), None if bias is None else bias.expand(*spec.output_size, -1)
    for strip in route.strips(x, weight.nbytes):
        here, own = strip.positions, _own(route, (strip.positions,))
        some = None if offsets is None else offsets[here]
        for part in strip.route.parts(x, weight.nbytes):
            _output(strip.route, x[part, strip.sites], weight[own], some, y[part, here])
    return y


def _output(route: Route, x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> None:
    """Write the output of a strip, for a part of the batch; the bias has all position axes."""
    matrices, scratch = _matrices(route, weight), scratch_of(x, wide(x))
    offsets = None if bias is None else _outputs(route, bias[None])
    windows, places = _windows(route, _laid_out(route, x)), _outputs(route, y)
    for box in route.boxes(windows):
        stack = _stacked(route, windows[box], scratch, "windows", samples_last=route.batch_last)
        product = _product(route, stack, _of_box(route, matrices, box), scratch)
        place = places[box]
        _put(place, _unstacked(route, product, place.shape), None if offsets is None else offsets[box])


def _product(route: Route, windows: Tensor, matrices: Tensor, scratch: Scratch) -> Tensor:
    """Return outputs ``(own*g, co/g, tied*n)`` of windows ``(own*g, k*cg, tied*n)``; few of them have samples last."""
    count, columns = len(windows), windows.shape[-1]
    if route.few_outputs:
        return torch.bmm(matrices.mT, windows, out=scratch.take("product", (count, route.outputs, columns)))
    return torch.bmm(windows.mT, matrices, out=scratch.take("product", (count, columns, route.outputs))).mT


def input_cotangent(route: Route, dy: Tensor, weight: Tensor) -> Tensor:
    """Return ``dx (n, i*, ci)`` of ``dy (n, o*, co)``: a cotangent per window, added up where windows overlap."""
    dx = empty(route.spec.x_shape(len(dy)), dy)
    strips = route.strips(dx, weight.nbytes)
    total = dx if len(strips) == 1 else zeros(dx.shape, dy, wide(dy))
    for strip in strips:
        own = _own(route, (strip.positions,))
        for part in strip.route.parts(dx, weight.nbytes):
            there = total[part, strip.sites]
            _input_cotangent(strip.route, dy[part, strip.positions], weight[own], there, len(strips) > 1)
    return total.to(dy.dtype)


def _input_cotangent(route: Route, dy: Tensor, weight: Tensor, dx: Tensor, adds: bool) -> None:
    """Write the cotangent of the input of a strip, for a part of the batch, or add it."""
    matrices, scratch, direct = _matrices(route, weight), scratch_of(dy, wide(dy)), _as_it_lies(route, dx)
    total = dx.zero_().movedim(0, -1) if direct else _room(route, dx).zero_()
    windows, cotangents = _windows(route, total), _outputs(route, dy)
    for box in route.boxes(windows, made=True):
        right = _stacked(route, cotangents[box], scratch, "cotangents", samples_last=False)
        _fold(route, _product_back(route, _of_box(route, matrices, box), right, scratch), box, windows)
    if not direct:
        _take_back(route, total, dx, adds)


def _product_back(route: Route, matrices: Tensor, cotangents: Tensor, scratch: Scratch) -> Tensor:
    """Return cotangents of windows ``(own*g, k*cg, tied*n)``, in memory as windows are, or samples last if few."""
    count, inputs, columns = len(matrices), route.spec.fan_in, cotangents.shape[-1]
    if route.batch_last or route.few_inputs:
        return torch.bmm(matrices, cotangents, out=scratch.take("windows", (count, inputs, columns)))
    return torch.bmm(cotangents.mT, matrices.mT, out=scratch.take("windows", (count, columns, inputs))).mT


def weight_cotangent(route: Route, x: Tensor, dy: Tensor) -> Tensor:
    """Return ``dw (o*, k*, cg, co)``: written once, in place, unless shared axes or parts of the batch add up."""
    shape = route.spec.weight_shape
    size = math.prod(shape) * dy.itemsize
    strips = route.strips(x, size)
    adds = bool(route.tied) or any(len(strip.route.parts(x, size)) != 1 for strip in strips)
    dw = zeros(shape, dy, wide(dy)) if adds else empty(shape, dy)
    for strip in strips:
        own = _own(route, (strip.positions,))
        for part in strip.route.parts(x, size):
            _weight_cotangent(strip.route, x[part, strip.sites], dy[part, strip.positions], dw[own], adds)
    return dw.to(dy.dtype)


def _weight_cotangent(route: Route, x: Tensor, dy: Tensor, dw: Tensor, adds: bool) -> None:
    """Write the cotangent of the weight of a strip, from a part of the batch, or add it."""
    places, scratch = _matrices(route, dw), scratch_of(x, wide(x))
    short = route.few_outputs and route.few_inputs
    windows, cotangents = _windows(route, _laid_out(route, x)), _outputs(route, dy)
    for box in route.boxes(windows):
        left = _stacked(route, windows[box], scratch, "windows", samples_last=short or route.batch_last)
        right = _stacked(route, cotangents[box], scratch, "cotangents", samples_last=short).mT
        place = places[_own(route, box)]
        if route.few_outputs:  # the transpose has the longer rows
            place, left, right = place.mT, right.mT, left.mT
        _keep(place, left, right, scratch, adds=adds)


def _keep(place: Tensor, left: Tensor, right: Tensor, scratch: Scratch, *, adds: bool) -> None:
    """Write a product of matrices to a place of the result, two axes more than the stack has, or add it there."""
    if place.is_contiguous() and place.dtype == left.dtype:
        matrices = place.view(-1, *place.shape[-2:])
        matrices.baddbmm_(left, right) if adds else torch.bmm(left, right, out=matrices)
        return
    product = torch.bmm(left, right, out=scratch.take("product", (len(left), *place.shape[-2:]))).view(place.shape)
    place.add_(product) if adds else place.copy_(product)


def _put(place: Tensor, values: Tensor, offsets: Tensor | None = None) -> None:
    """Write values ``(*, n)``, plus offsets if any, to a place of that shape; values with offsets are scratch."""
    if offsets is not None and not values.is_contiguous():
        torch.add(values, offsets, out=place)
        return
    if offsets is not None:
        values += offsets
    if _joined(place, 0, place.ndim - 1) and _joined(values, 0, values.ndim - 1):
        # As matrices, rows of the place first: torch is quick to turn one where it sees that it is one.
        place, values = place.flatten(0, -2), values.flatten(0, -2)
        if place.stride(-1) != 1:
            place, values = place.T, values.T
    place.copy_(values)


def _as_it_lies(route: Route, x: Tensor) -> bool:
    """Tell whether ``x (n, i*, ci)`` serves without being laid out: nothing to turn, pad, gather or widen."""
    return route.plain and not route.batch_last and wide(x) == x.dtype and x.is_contiguous()


def _room(route: Route, x: Tensor) -> Tensor:
    """Return a wide tensor ``(sites*, g*cg, n)`` for ``x (n, i*, ci)``, in memory as it serves the layer."""
    if route.batch_last:
        return empty((*route.laid_out, len(x)), x, wide(x))
    return empty((len(x), *route.laid_out), x, wide(x)).movedim(0, -1)


def _inside(route: Route) -> Box:
    """Return where the input lies in its padded form."""
    spec = route.spec
    return tuple(slice(lo, lo + size) for size, (lo, _) in zip(spec.input_size, spec.padding, strict=True))


def _channels(route: Route, like: Tensor) -> Tensor:
    """Return the connection table, flat, where `like` is."""
    return torch.from_numpy(route.spec.channels.reshape(-1)).to(like.device)


def _laid_out(route: Route, x: Tensor) -> Tensor:
    """``(n, i*, ci) -> (sites*, g*cg, n)``, wide, with zeros in the padding."""
    last = x.movedim(0, -1)
    if _as_it_lies(route, x):
        return last
    if route.spec.channel_table is not None:
        last = last.index_select(-2, _channels(route, x))
    laid = _room(route, x)
    if any(map(any, route.spec.padding)):
        laid.zero_()
    laid[_inside(route)].copy_(last)
    return laid


def _take_back(route: Route, laid: Tensor, x: Tensor, adds: bool) -> None:
    """Write ``(sites*, g*cg, n)`` into ``x (n, i*, ci)``, or add it: the adjoint of `_laid_out`."""
    spec, kept = route.spec, laid[_inside(route)]
    if spec.channel_table is not None:
        sums = laid.new_zeros(*spec.input_size, spec.in_channels, len(x))
        kept = sums.index_add_(-2, _channels(route, x), kept)
    if adds:
        x.add_(kept.movedim(-1, 0))
    else:
        _put(x.movedim(0, -1), kept)


def _windows(route: Route, laid: Tensor) -> Tensor:
    """``(sites*, g*cg, n) -> (o*, g, k*, cg, n)``: all windows, as a view."""
    spec = route.spec
    *along, channel, sample = laid.stride()
    starts = [jump * stride for jump, stride in zip(along, spec.stride, strict=True)]
    spread = [jump * dilation for jump, dilation in zip(along, spec.dilation, strict=True)]
    shape = (*spec.output_size, route.groups, *spec.kernel_size, spec.group_channels, laid.shape[-1])
    strides = (*starts, channel * spec.group_channels, *spread, channel, sample)
    return laid.as_strided(shape, strides, laid.storage_offset())


def _fold(route: Route, product: Tensor, box: Box, windows: Tensor) -> None:
    """Add ``(own*g, k*cg, tied*n)`` to windows ``(o*, g, k*, cg, n)`` of the box, which share memory.

    Windows are added in rounds of such as lie apart, so that each round is one addition: as many rounds per axis as
    windows overlap.
    """
    spec, source = route.spec, _unstacked(route, product, windows[box].shape)
    if route.apart:
        _put(windows[box], source)
        return
    axes = zip(box, spec.kernel_size, spec.dilation, spec.stride, strict=True)
    rounds = [
        min(run.stop - run.start, -(-window_extent(kernel, dilation) // stride))
        for run, kernel, dilation, stride in axes
    ]
    for first in itertools.product(*map(range, rounds)):
        each = tuple(slice(start, None, pace) for start, pace in zip(first, rounds, strict=True))
        there = tuple(slice(run.start + at.start, run.stop, at.step) for run, at in zip(box, each, strict=True))
        windows[there].add_(source[each])


def _matrices(route: Route, weight: Tensor) -> Tensor:
    """``(o*, k*, cg, co) -> (o*, g, k*cg, co/g)``, a view; shared axes keep their length of 1."""
    rank = route.spec.rank
    return weight.flatten(rank, -2).unflatten(-1, (route.groups, route.outputs)).movedim(-2, rank)


def _own(route: Route, box: Box) -> Box:
    """Return the part of a weight that belongs to a box, or to a slice of the first axes."""
    return tuple(slice(None) if shared else run for run, shared in zip(box, route.spec.shared, strict=False))


def _of_box(route: Route, matrices: Tensor, box: Box) -> Tensor:
    """``(o*, g, k*cg, co/g) -> (own*g, k*cg, co/g)``: the weights of a box, wide."""
    return matrices[_own(route, box)].flatten(0, route.spec.rank).to(wide(matrices))


def _outputs(route: Route, y: Tensor) -> Tensor:
    """``(n, o*, co) -> (o*, g, co/g, n)``, a view."""
    return y.unflatten(-1, (route.groups, route.outputs)).movedim(0, -1)


def _order(route: Route, axes: int) -> list[int]:
    """Return the axes of ``(o*, g, inner*, n)`` as they are stacked: ``(own*, g, inner*, tied*, n)``."""
    return [*route.own, *range(route.spec.rank, axes - 1), *route.tied, axes - 1]


def _stacked(route: Route, view: Tensor, scratch: Scratch, name: str, *, samples_last: bool) -> Tensor:
    """``(o*, g, inner*, n) -> (own*g, inner, tied*n)``, wide: a copy, unless the matrices lie ready in memory.

    The copy has samples last in memory, or the inner axes; a view with samples last is ready only if they are.
    """
    ordered = view.permute(_order(route, view.ndim))
    cuts = [0, len(route.own) + 1, view.ndim - len(route.tied) - 1, view.ndim]
    pieces = list(itertools.pairwise(cuts))
    shape = [math.prod(ordered.shape[first:last]) for first, last in pieces]
    if view.dtype == wide(view) and all(_joined(ordered, first, last) for first, last in pieces):
        stack = ordered.reshape(shape)
        if _is_matrix(stack) and (stack.stride(-1) == 1 or not samples_last):
            return stack
    if samples_last:
        room = scratch.take(name, ordered.shape)
        _put(room, ordered)
        return room.view(shape)
    turned = ordered.permute(*range(cuts[1]), *range(cuts[2], cuts[3]), *range(cuts[1], cuts[2]))
    return scratch.take(name, turned.shape).copy_(turned).view(shape[0], shape[2], shape[1]).mT


def _unstacked(route: Route, matrices: Tensor, shape: Sequence[int]) -> Tensor:
    """``(own*g, inner, tied*n) -> (o*, g, inner*, n)`` of `shape`, a view: the way back from `_stacked`."""
    order = _order(route, len(shape))
    back = [order.index(axis) for axis in range(len(order))]
    return matrices.reshape([shape[axis] for axis in order]).permute(back)


def _is_matrix(stack: Tensor) -> bool:
    """Tell whether rows or columns are runs of memory, beside each other: what products take without copying."""
    (rows, columns), (down, along) = stack.shape[1:], stack.stride()[1:]
    by_rows = (along == 1 or columns == 1) and (down >= columns or rows == 1)
    return by_rows or ((down == 1 or rows == 1) and (along >= rows or columns == 1))


def _joined(tensor: Tensor, first: int, last: int) -> bool:
    """Tell whether axes from `first` on, up to `last`, are one run of steps in memory."""
    shape, strides = tensor.shape, tensor.stride()
    axes = [(shape[axis], strides[axis]) for axis in range(first, last) if shape[axis] != 1]
    return all(outer == size * inner for (_, outer), (size, inner) in itertools.pairwise(axes))
