"""The three products of a layer in torch, a box of positions at a time; `torch` makes them differentiable.

A layer is bilinear in input and weight. It has three products: the output from input and weight, the cotangent of the
input from output and weight, the cotangent of the weight from input and output. Each walks the output in boxes of
positions (`torch_route` decides how): the windows of a box are one matrix per weight, as a view or copied into scratch
memory (`torch_batches`), multiplied by the weights of the box, which are read where they lie. Nothing that grows with
the number of windows is ever held.

In shapes, ``own*`` are positions along axes with weights of their own (``row`` the first of them, ``rest`` the others
and the groups), ``tied*`` along shared axes, ``sites*`` those of the padded input. Half types are widened on the way
in, summed in float32 and rounded once (SPEC 8.3).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from lcl_ref.core.padding import window_extent
from lcl_ref.layers.engines.torch_batches import multiplied, put, stacked, stacked_windows, unstacked
from lcl_ref.layers.engines.torch_memory import Scratch, empty, scratch_of, zeros
from lcl_ref.layers.engines.torch_route import Box, Route, wide


def output(route: Route, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``; the bias is added in the wide dtype."""
    spec = route.spec
    y, offsets = empty(spec.y_shape(len(x)), x), None if bias is None else bias.expand(*spec.output_size, -1)
    for strip in route.strips(x, weight.nbytes):
        here, own = strip.positions, _own(route, (strip.positions,))
        some = None if offsets is None else offsets[here]
        for part in strip.route.parts(x[:, strip.sites], weight.nbytes):
            _output(strip.route, x[part, strip.sites], weight[own], some, y[part, here])
    return y


def _output(route: Route, x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> None:
    """Write the output of a strip, for a part of the batch; the bias has all position axes."""
    matrices, scratch = _matrices(route, weight), scratch_of(x, wide(x))
    offsets = None if bias is None else _outputs(route, bias[None])
    windows, places = _windows(route, _laid_out(route, x)), _outputs(route, y)
    for box in route.boxes(windows, matrices):
        stack = stacked_windows(route, windows[box], scratch, samples_last=route.batch_last)
        product = _product(route, stack, _of_box(route, matrices, box), scratch)
        place = places[box]
        put(place, unstacked(route, product, place.shape), None if offsets is None else offsets[box])


def _product(route: Route, windows: Tensor, matrices: Tensor, scratch: Scratch) -> Tensor:
    """Return outputs ``(row, rest, co/g, tied*n)`` of windows ``(row, rest, k*cg, tied*n)``; samples last if few."""
    *stack, _, columns = windows.shape
    if route.few_outputs:
        return multiplied(matrices.mT, windows, scratch.take("product", (*stack, route.outputs, columns)))
    return multiplied(windows.mT, matrices, scratch.take("product", (*stack, columns, route.outputs))).mT


def input_cotangent(route: Route, dy: Tensor, weight: Tensor) -> Tensor:
    """Return ``dx (n, i*, ci)`` of ``dy (n, o*, co)``: a cotangent per window, added up where windows overlap."""
    dx, route = empty(route.spec.x_shape(len(dy)), dy), route.summing(len(dy))
    strips = route.strips(dx, weight.nbytes)
    if len(strips) > 1:
        dx = dx.to(wide(dy)).zero_()
    for strip in strips:
        own = _own(route, (strip.positions,))
        for part in strip.route.parts(dx[:, strip.sites], weight.nbytes):
            there = dx[part, strip.sites]
            _input_cotangent(strip.route, dy[part, strip.positions], weight[own], there, len(strips) > 1)
    return dx.to(dy.dtype)


def _input_cotangent(route: Route, dy: Tensor, weight: Tensor, dx: Tensor, adds: bool) -> None:
    """Write the cotangent of the input of a strip, for a part of the batch, or add it."""
    matrices, scratch, direct = _matrices(route, weight), scratch_of(dy, wide(dy)), route.lies_ready(dx) and not adds
    total = dx.zero_().movedim(0, -1) if direct else _room(route, dx).zero_()
    windows, cotangents = _windows(route, total), _outputs(route, dy)
    for box in route.boxes(windows, matrices, made=True):
        right = stacked(route, cotangents[box], scratch, "cotangents", samples_last=False)
        _fold(route, _product_back(route, _of_box(route, matrices, box), right, scratch), box, windows)
    if not direct:
        _take_back(route, total, dx, adds)


def _product_back(route: Route, matrices: Tensor, cotangents: Tensor, scratch: Scratch) -> Tensor:
    """Return cotangents of windows ``(row, rest, k*cg, tied*n)``, in memory as windows are, or samples last if few."""
    *stack, inputs, _ = matrices.shape
    columns = cotangents.shape[-1]
    if route.batch_last or route.few_inputs:
        return multiplied(matrices, cotangents, scratch.take("windows", (*stack, inputs, columns)))
    return multiplied(cotangents.mT, matrices.mT, scratch.take("windows", (*stack, columns, inputs))).mT


def weight_cotangent(route: Route, x: Tensor, dy: Tensor) -> Tensor:
    """Return ``dw (o*, k*, cg, co)``: written once, in place, unless shared axes or parts of the batch add up."""
    shape = route.spec.weight_shape
    size = math.prod(shape) * dy.itemsize
    strips = route.strips(x, size)
    adds = bool(route.tied) or any(len(strip.route.parts(x[:, strip.sites], size)) != 1 for strip in strips)
    dw = zeros(shape, dy, wide(dy)) if adds else empty(shape, dy)
    for strip in strips:
        own = _own(route, (strip.positions,))
        for part in strip.route.parts(x[:, strip.sites], size):
            _weight_cotangent(strip.route, x[part, strip.sites], dy[part, strip.positions], dw[own], adds)
    return dw.to(dy.dtype)


def _weight_cotangent(route: Route, x: Tensor, dy: Tensor, dw: Tensor, adds: bool) -> None:
    """Write the cotangent of the weight of a strip, from a part of the batch, or add it."""
    places, scratch = _matrices(route, dw), scratch_of(x, wide(x))
    short = route.few_outputs and route.few_inputs
    windows, cotangents = _windows(route, _laid_out(route, x)), _outputs(route, dy)
    for box in route.boxes(windows, places):
        left = stacked_windows(route, windows[box], scratch, samples_last=short or route.batch_last)
        right = stacked(route, cotangents[box], scratch, "cotangents", samples_last=short).mT
        place = places[_own(route, box)]
        if route.few_outputs:  # the transpose has the longer rows
            place, left, right = place.mT, right.mT, left.mT
        _keep(place, left, right, scratch, adds=adds)


def _keep(place: Tensor, left: Tensor, right: Tensor, scratch: Scratch, *, adds: bool) -> None:
    """Write a product of stacks to a place of the result, a stack with all axes apart, or add it there."""
    stack = (*left.shape[:2], *place.shape[-2:])
    if place[0].is_contiguous() and place.dtype == left.dtype:
        multiplied(left, right, place.view(stack), adds=adds)
        return
    product = multiplied(left, right, scratch.take("product", stack)).view(place.shape)
    place.add_(product) if adds else place.copy_(product)


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
    if route.lies_ready(x):
        return last
    if route.spec.channel_table is not None:
        last = last.index_select(-2, _channels(route, x))
    laid = _room(route, x)
    for axis, (lo, hi) in enumerate(route.spec.padding):
        laid.narrow(axis, 0, lo).zero_()
        laid.narrow(axis, laid.shape[axis] - hi, hi).zero_()
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
        put(x.movedim(0, -1), kept)


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
    """Add ``(row, rest, k*cg, tied*n)`` to windows ``(o*, g, k*, cg, n)`` of the box, which share memory.

    Windows are added in rounds of such as lie apart, so that each round is one addition: as many rounds per axis as
    windows overlap.
    """
    spec, source = route.spec, unstacked(route, product, windows[box].shape)
    if route.apart:
        put(windows[box], source)
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
    """``(o*, g, k*cg, co/g) -> (row, rest, k*cg, co/g)``: the weights of a box, wide."""
    weights = matrices[_own(route, box)]
    rows = weights.shape[route.own[0]] if route.own else 1
    return weights.reshape(rows, -1, *weights.shape[-2:]).to(wide(matrices))


def _outputs(route: Route, y: Tensor) -> Tensor:
    """``(n, o*, co) -> (o*, g, co/g, n)``, a view."""
    return y.unflatten(-1, (route.groups, route.outputs)).movedim(0, -1)
