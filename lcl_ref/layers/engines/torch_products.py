"""The three products of a layer in torch, a tile of positions at a time; `torch_autograd` makes them differentiable.

A layer is bilinear in input and weight. It has three products: the output from input and weight, the gradient of the
input from output and weight, the gradient of the weight from input and output. Each walks the output in tiles of
positions (`torch_plan` says which): the windows of a tile are one matrix per weight, as a view or copied into scratch
memory (`torch_batches`), multiplied by the weights of the tile, which are read where they lie. Nothing that grows with
the number of windows is ever held.

In shapes, ``own*`` are positions along axes with weights of their own (``row`` the first of them, ``rest`` the others
and the groups), ``tied*`` along shared axes, ``sites*`` those of the padded input. Half types are widened on the way
in, summed in float32 and rounded once (SPEC 8.3). A layer is named by its text, `Spec.to_json`.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from lcl_ref.layers.engines import torch_kernel
from lcl_ref.layers.engines.torch_batches import multiplied, put, rounds, stacked, stacked_windows, unstacked
from lcl_ref.layers.engines.torch_memory import Scratch, empty, reused, scratch_of
from lcl_ref.layers.engines.torch_plan import Chunk, plan_of
from lcl_ref.layers.engines.torch_route import Route


def output(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``; the bias is added in the wide dtype."""
    made = torch_kernel.output(layer, x, weight, bias)
    if made is not None:
        return made
    plan = plan_of(layer, "output", x, weight.dtype)
    spec, scratch = plan.route.spec, scratch_of(x, plan.wide)
    y = reused(spec.y_shape(x.shape[0]), x)
    offsets = None if bias is None else bias.expand(*spec.output_size, -1)
    for chunk in plan.chunks:
        some = None if offsets is None else offsets[chunk.positions]
        _output(chunk, x[chunk.input], weight[chunk.weight], some, y[chunk.output], scratch)
    return y


def _output(chunk: Chunk, x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, scratch: Scratch) -> None:
    """Write the output of a chunk; the bias has all position axes."""
    route, matrices = chunk.route, _matrices(chunk.route, weight)
    offsets = None if bias is None else _outputs(route, bias[None])
    windows, places = _windows(route, _padded(chunk, x, scratch)), _outputs(route, y)
    for tile, own in chunk.tiles():
        stack = stacked_windows(route, windows[tile], scratch, samples_last=route.batch_last)
        product = _product(route, stack, _of_tile(route, matrices[own], scratch), scratch)
        place = places[tile]
        put(place, unstacked(product, route.outputs_order, place.shape), None if offsets is None else offsets[tile])


def _product(route: Route, windows: Tensor, matrices: Tensor, scratch: Scratch) -> Tensor:
    """Return outputs ``(row, rest, co/g, tied*n)`` of windows ``(row, rest, k*cg, tied*n)``; samples last if few."""
    *stack, _, columns = windows.shape
    if route.few_outputs:
        return multiplied(matrices.mT, windows, scratch.take("product", (*stack, route.outputs, columns)))
    return multiplied(windows.mT, matrices, scratch.take("product", (*stack, columns, route.outputs))).mT


def input_gradient(layer: str, dy: Tensor, weight: Tensor) -> Tensor:
    """Return ``dx (n, i*, ci)`` of ``dy (n, o*, co)``: a gradient per window, added up where windows overlap."""
    made = torch_kernel.input_gradient(layer, dy, weight)
    if made is not None:
        return made
    plan = plan_of(layer, "input_gradient", dy, weight.dtype)
    shape, scratch = plan.route.spec.x_shape(dy.shape[0]), scratch_of(dy, plan.wide)
    dx = reused(shape, dy, plan.wide).zero_() if plan.adds else reused(shape, dy)
    for chunk in plan.chunks:
        _input_gradient(chunk, dy[chunk.output], weight[chunk.weight], dx[chunk.input], scratch, adds=plan.adds)
    return dx.to(dy.dtype)


def _input_gradient(chunk: Chunk, dy: Tensor, weight: Tensor, dx: Tensor, scratch: Scratch, *, adds: bool) -> None:
    """Write the gradient of the input of a chunk, or add it."""
    route, matrices = chunk.route, _matrices(chunk.route, weight)
    total = dx.zero_().movedim(0, -1) if chunk.in_place else _room(route, dx, scratch).zero_()
    windows, cotangents = _windows(route, total), _outputs(route, dy)
    for tile, own in chunk.tiles():
        right = stacked(cotangents[tile], route.outputs_order, scratch, "cotangents", samples_last=False)
        product = _product_back(route, _of_tile(route, matrices[own], scratch), right, scratch)
        _add_windows(route, product, windows[tile])
    if not chunk.in_place:
        _take_back(route, total, dx, adds=adds)


def _product_back(route: Route, matrices: Tensor, cotangents: Tensor, scratch: Scratch) -> Tensor:
    """Return gradients of windows ``(row, rest, k*cg, tied*n)``, in memory as windows are, or samples last if few."""
    *stack, inputs, _ = matrices.shape
    columns = cotangents.shape[-1]
    if route.batch_last or route.few_inputs:
        return multiplied(matrices, cotangents, scratch.take("windows", (*stack, inputs, columns)))
    return multiplied(cotangents.mT, matrices.mT, scratch.take("windows", (*stack, columns, inputs))).mT


def weight_gradient(layer: str, x: Tensor, dy: Tensor) -> Tensor:
    """Return ``dw (o*, k*, cg, co)``: written once, in place, unless shared axes or parts of the batch add up."""
    made = torch_kernel.weight_gradient(layer, x, dy)
    if made is not None:
        return made
    plan = plan_of(layer, "weight_gradient", x, dy.dtype)
    shape, scratch = plan.route.spec.weight_shape, scratch_of(x, plan.wide)
    dw = reused(shape, dy, plan.wide).zero_() if plan.adds else reused(shape, dy)
    for chunk in plan.chunks:
        _weight_gradient(chunk, x[chunk.input], dy[chunk.output], dw[chunk.weight], scratch, adds=plan.adds)
    return dw.to(dy.dtype)


def _weight_gradient(chunk: Chunk, x: Tensor, dy: Tensor, dw: Tensor, scratch: Scratch, *, adds: bool) -> None:
    """Write the gradient of the weight of a chunk, or add it."""
    route, places = chunk.route, _matrices(chunk.route, dw)
    short = route.few_outputs and route.few_inputs
    windows, cotangents = _windows(route, _padded(chunk, x, scratch)), _outputs(route, dy)
    for tile, own in chunk.tiles():
        left = stacked_windows(route, windows[tile], scratch, samples_last=short or route.batch_last)
        right = stacked(cotangents[tile], route.outputs_order, scratch, "cotangents", samples_last=short).mT
        place = places[own]
        if route.few_outputs:  # the transpose has the longer rows
            place, left, right = place.mT, right.mT, left.mT
        _keep(place, left, right, scratch, adds=adds)


def _keep(place: Tensor, left: Tensor, right: Tensor, scratch: Scratch, *, adds: bool) -> None:
    """Write a product of stacks to a place of the result, a stack with its axes not yet joined, or add it there."""
    stack = (*left.shape[:2], *place.shape[-2:])
    if place[0].is_contiguous() and place.dtype == left.dtype:
        multiplied(left, right, place.view(stack), adds=adds)
        return
    product = multiplied(left, right, scratch.take("product", stack)).view(place.shape)
    place.add_(product) if adds else place.copy_(product)


def _room(route: Route, x: Tensor, scratch: Scratch) -> Tensor:
    """Return a wide tensor ``(sites*, g*cg, n)`` for ``x (n, i*, ci)``, in memory as it serves the layer."""
    samples = x.shape[0]
    if route.batch_last:
        return empty((*route.padded_layout, samples), x, scratch.dtype)
    return empty((samples, *route.padded_layout), x, scratch.dtype).movedim(0, -1)


def _padded(chunk: Chunk, x: Tensor, scratch: Scratch) -> Tensor:
    """``(n, i*, ci) -> (sites*, g*cg, n)``, wide, with zeros in the padding."""
    route, last = chunk.route, x.movedim(0, -1)
    if chunk.in_place:
        return last
    if route.spec.channel_table is not None:
        last = last.index_select(-2, route.channels(x))
    laid = _room(route, x, scratch)
    for axis, (lo, hi) in enumerate(route.spec.padding):
        laid.narrow(axis, 0, lo).zero_()
        laid.narrow(axis, laid.shape[axis] - hi, hi).zero_()
    laid[route.inside].copy_(last)
    return laid


def _take_back(route: Route, laid: Tensor, x: Tensor, *, adds: bool) -> None:
    """Write ``(sites*, g*cg, n)`` into ``x (n, i*, ci)``, or add it: the adjoint of `_padded`."""
    spec, kept = route.spec, laid[route.inside]
    if spec.channel_table is not None:
        sums = laid.new_zeros(*spec.input_size, spec.in_channels, x.shape[0])
        kept = sums.index_add_(-2, route.channels(x), kept)
    if adds:
        x.add_(kept.movedim(-1, 0))
    else:
        put(x.movedim(0, -1), kept)


def _windows(route: Route, laid: Tensor) -> Tensor:
    """``(sites*, g*cg, n) -> (o*, g, k*, cg, n)``: all windows, as a view."""
    spec = route.spec
    *along, channel, sample = laid.stride()
    starts, taps = map(operator.mul, along, spec.stride), map(operator.mul, along, spec.dilation)
    strides = (*starts, channel * spec.group_channels, *taps, channel, sample)
    return laid.as_strided((*route.windows_layout, laid.shape[-1]), strides, laid.storage_offset())


def _add_windows(route: Route, product: Tensor, windows: Tensor) -> None:
    """Add ``(row, rest, k*cg, tied*n)`` to windows ``(o*, g, k*, cg, n)`` of a tile, which share memory.

    Windows are added in rounds of such as lie apart, so that each round is one addition.
    """
    source = unstacked(product, route.windows_order, windows.shape)
    if route.windows_disjoint:
        put(windows, source)
        return
    for some in rounds(windows.shape[: len(route.overlaps)], route.overlaps):
        windows[some].add_(source[some])


def _matrices(route: Route, weight: Tensor) -> Tensor:
    """``(o*, k*, cg, co) -> (o*, g, k*cg, co/g)``, a view; shared axes keep their length of 1."""
    rank = len(route.overlaps)
    return torch.unflatten(weight.flatten(rank, -2), -1, (route.groups, route.outputs)).movedim(-2, rank)


def _of_tile(route: Route, matrices: Tensor, scratch: Scratch) -> Tensor:
    """``(o*, g, k*cg, co/g) -> (row, rest, k*cg, co/g)``: the weights of a tile, wide."""
    rows = matrices.shape[route.own[0]] if route.own else 1
    return matrices.reshape(rows, -1, *matrices.shape[-2:]).to(scratch.dtype)


def _outputs(route: Route, y: Tensor) -> Tensor:
    """``(n, o*, co) -> (o*, g, co/g, n)``, a view."""
    return torch.unflatten(y, -1, (route.groups, route.outputs)).movedim(0, -1)
