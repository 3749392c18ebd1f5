"""Stacks of matrices: the windows of a box of positions, or what belongs to them, as batched products take them.

A stack is ``(row, rest, inner, tied*n)``: one matrix per weight, whose columns are the samples at all positions that
share it. Of the positions with weights of their own, ``own*``, the first axis is ``row``, and the others are ``rest``,
with the groups. Rows may be any way apart in memory: windows that overlap along the first axis are views of one copy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lcl_ref.layers.engines.torch_memory import Scratch
from lcl_ref.layers.engines.torch_route import Route, wide


def multiplied(left: Tensor, right: Tensor, out: Tensor, *, adds: bool = False) -> Tensor:
    """Write the products of two stacks to `out`, or add them, and return it: in one call, if rows are evenly apart."""
    stacks = [out, left, right]
    if all(joined(stack, 0, 2) for stack in stacks):
        stacks = [stack.flatten(0, 1)[None] for stack in stacks]
    for place, *factors in zip(*map(Tensor.unbind, stacks), strict=True):
        place.baddbmm_(*factors) if adds else torch.bmm(*factors, out=place)
    return out


def stacked_windows(route: Route, windows: Tensor, scratch: Scratch, *, samples_last: bool) -> Tensor:
    """Stack windows ``(o*, g, k*, cg, n)`` of a box."""
    if route.slides and len(windows) > 1:
        windows = _slid(route, windows, scratch)
    return stacked(route, windows, scratch, "windows", samples_last=samples_last)


def _slid(route: Route, windows: Tensor, scratch: Scratch) -> Tensor:
    """Return windows ``(o*, g, k*, cg, n)`` of a box, as views of a copy of the sites they see along the first axis."""
    rank, stride = route.spec.rank, route.spec.stride[0]
    shape, steps, tap = list(windows.shape), list(windows.stride()), rank + 1
    shape[0], steps[0] = (len(windows) - 1) * stride + shape.pop(tap), steps.pop(tap)
    seen = windows.as_strided(shape, steps, windows.storage_offset())  # (sites, o*, g, k*, cg, n), less the first
    own, inner, samples = [*route.own[1:], rank], [0, *range(tap, 2 * rank + 1)], [*route.tied, 2 * rank + 1]
    order = [*own, *inner, *samples] if route.batch_last else [*own, *samples, *inner]
    held = scratch.take("slid", [shape[axis] for axis in order]).copy_(seen.permute(order)).permute(_inverse(order))
    site, *steps = held.stride()
    return held.as_strided(windows.shape, (site * stride, *steps[:rank], site, *steps[rank:]), held.storage_offset())


def stacked(route: Route, view: Tensor, scratch: Scratch, name: str, *, samples_last: bool) -> Tensor:
    """``(o*, g, inner*, n) -> (row, rest, inner, tied*n)``, wide: a copy, unless the matrices lie ready in memory.

    The copy has samples last in memory, or the inner axes; a view with samples last is ready only if they are.
    """
    ordered = view.permute(_order(route, view.ndim))
    cuts = [0, min(1, len(route.own)), len(route.own) + 1, view.ndim - len(route.tied) - 1, view.ndim]
    pieces = list(itertools.pairwise(cuts))
    shape = [math.prod(ordered.shape[first:last]) for first, last in pieces]
    if view.dtype == wide(view) and all(joined(ordered, first, last) for first, last in pieces):
        stack = ordered.reshape(shape)
        if _is_matrix(stack) and (stack.stride(-1) == 1 or not samples_last):
            return stack
    if samples_last:
        room = scratch.take(name, ordered.shape)
        put(room, ordered)
        return room.view(shape)
    turned = ordered.permute(*range(cuts[2]), *range(cuts[3], cuts[4]), *range(cuts[2], cuts[3]))
    return scratch.take(name, turned.shape).copy_(turned).view(*shape[:2], shape[3], shape[2]).mT


def unstacked(route: Route, matrices: Tensor, shape: Sequence[int]) -> Tensor:
    """``(row, rest, inner, tied*n) -> (o*, g, inner*, n)`` of `shape`, a view: the way back from `stacked`."""
    order = _order(route, len(shape))
    return matrices.reshape([shape[axis] for axis in order]).permute(_inverse(order))


def put(place: Tensor, values: Tensor, offsets: Tensor | None = None) -> None:
    """Write values ``(*, n)``, plus offsets if any, to a place of that shape; values with offsets are scratch."""
    if offsets is not None and not values.is_contiguous():
        torch.add(values, offsets, out=place)
        return
    if offsets is not None:
        values += offsets
    if joined(place, 0, place.ndim - 1) and joined(values, 0, values.ndim - 1):
        # As matrices, rows of the place first: torch is quick to turn one where it sees that it is one.
        place, values = place.flatten(0, -2), values.flatten(0, -2)
        if place.stride(-1) != 1:
            place, values = place.T, values.T
    place.copy_(values)


def _order(route: Route, axes: int) -> list[int]:
    """Return the axes of ``(o*, g, inner*, n)`` as they are stacked: ``(own*, g, inner*, tied*, n)``."""
    return [*route.own, *range(route.spec.rank, axes - 1), *route.tied, axes - 1]


def _inverse(order: Sequence[int]) -> list[int]:
    """Return the order that undoes a permutation."""
    return [order.index(axis) for axis in range(len(order))]


def _is_matrix(stack: Tensor) -> bool:
    """Tell whether rows or columns are runs of memory, beside each other: what products take without copying."""
    (rows, columns), (down, along) = stack.shape[2:], stack.stride()[2:]
    by_rows = (along == 1 or columns == 1) and (down >= columns or rows == 1)
    return by_rows or ((down == 1 or rows == 1) and (along >= rows or columns == 1))


def joined(tensor: Tensor, first: int, last: int) -> bool:
    """Tell whether axes from `first` on, up to `last`, are one run of steps in memory."""
    shape, strides = tensor.shape, tensor.stride()
    axes = [(shape[axis], strides[axis]) for axis in range(first, last) if shape[axis] != 1]
    return all(outer == size * inner for (_, outer), (size, inner) in itertools.pairwise(axes))
