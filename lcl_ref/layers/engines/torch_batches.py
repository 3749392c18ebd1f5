"""Stacks of matrices: the windows of a tile of positions, or what belongs to them, as batched products take them.

A stack is ``(row, rest, inner, tied*n)``: one matrix per weight, whose columns are the samples at all positions that
share it. Of the positions with weights of their own, ``own*``, the first axis is ``row``, and the others are ``rest``,
with the groups. Rows may be any way apart in memory: windows that overlap along the first axis are views of one copy.

What depends on shapes and strides alone is worked out once for each: tiles of a layer have few of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lcl_ref.layers.engines.torch_geometry import Index, Order
from lcl_ref.layers.engines.torch_memory import Scratch
from lcl_ref.layers.engines.torch_route import Route

SHAPES_KEPT = 4096
"""So many shapes and strides are remembered: about ten per layer and batch size."""

Sizes = tuple[int, ...]


def multiplied(left: Tensor, right: Tensor, out: Tensor, *, adds: bool = False) -> Tensor:
    """Write the products of two stacks to `out`, or add them, and return it: in one call, if rows are evenly apart."""
    stacks = [out, left, right]
    if (
        joined(out.shape[:2], out.stride()[:2])
        and joined(left.shape[:2], left.stride()[:2])
        and joined(right.shape[:2], right.stride()[:2])
    ):
        stacks = [out.flatten(0, 1)[None], left.flatten(0, 1)[None], right.flatten(0, 1)[None]]
    for place, *factors in zip(*map(Tensor.unbind, stacks), strict=True):
        place.baddbmm_(*factors) if adds else torch.bmm(*factors, out=place)
    return out


def stacked_windows(route: Route, windows: Tensor, scratch: Scratch, *, samples_last: bool) -> Tensor:
    """Stack windows ``(o*, g, k*, cg, n)`` of a tile."""
    if route.rows_overlap and windows.shape[0] > 1:
        windows = _of_shared_rows(route, windows, scratch)
    return stacked(windows, route.windows_order, scratch, "windows", samples_last=samples_last)


def _of_shared_rows(route: Route, windows: Tensor, scratch: Scratch) -> Tensor:
    """Return windows ``(o*, g, k*, cg, n)`` of a tile as views of one copy of the rows that they see."""
    rank, stride = route.spec.rank, route.spec.stride[0]
    shape, steps, tap = list(windows.shape), list(windows.stride()), rank + 1
    shape[0], steps[0] = (shape[0] - 1) * stride + shape.pop(tap), steps.pop(tap)
    rows = windows.as_strided(shape, steps, windows.storage_offset())  # (sites, o*, g, k*, cg, n), less the first
    rows = rows.permute(route.rows_order)
    held = scratch.take("rows", rows.shape).copy_(rows).permute(route.rows_inverse)
    site, *steps = held.stride()
    return held.as_strided(windows.shape, (site * stride, *steps[:rank], site, *steps[rank:]), held.storage_offset())


def stacked(view: Tensor, order: Order, scratch: Scratch, name: str, *, samples_last: bool) -> Tensor:
    """``(o*, g, inner*, n) -> (row, rest, inner, tied*n)``, wide: a copy, unless the matrices lie ready in memory.

    The copy has samples last in memory, or the inner axes; a view with samples last is ready only if they are.
    """
    ordered = view.permute(order.axes)
    shape, ready, ready_last = _stack(ordered.shape, ordered.stride(), order.cuts)
    if (ready_last if samples_last else ready) and view.dtype == scratch.dtype:
        return ordered.reshape(shape)
    if samples_last:
        room = scratch.take(name, ordered.shape)
        put(room, ordered)
        return room.view(shape)
    turned = ordered.permute(order.turned)
    row, rest, inner, columns = shape
    return scratch.take(name, turned.shape).copy_(turned).view(row, rest, columns, inner).mT


def unstacked(matrices: Tensor, order: Order, shape: Sequence[int]) -> Tensor:
    """``(row, rest, inner, tied*n) -> (o*, g, inner*, n)`` of `shape`, a view: the way back from `stacked`."""
    return matrices.reshape(order.sizes(shape)).permute(order.inverse)


def put(place: Tensor, values: Tensor, offsets: Tensor | None = None) -> None:
    """Write values ``(*, n)``, plus offsets if any, to a place of that shape; values with offsets are scratch."""
    if offsets is not None and not values.is_contiguous():
        torch.add(values, offsets, out=place)
        return
    if offsets is not None:
        values += offsets
    if joined(place.shape[:-1], place.stride()[:-1]) and joined(values.shape[:-1], values.stride()[:-1]):
        # As matrices, rows of the place first: torch is quick to turn one where it sees that it is one.
        place, values = place.flatten(0, -2), values.flatten(0, -2)
        if place.stride(-1) != 1:
            place, values = place.T, values.T
    place.copy_(values)


class _Stack(NamedTuple):
    """The shape of a stack, and whether it is ready as a view: at all, and with samples last."""

    shape: Sizes
    ready: bool
    ready_last: bool


@lru_cache(SHAPES_KEPT)
def _stack(shape: Sizes, strides: Sizes, cuts: Sizes) -> _Stack:
    """Return what becomes of a tensor whose axes are joined between `cuts`."""
    pieces = list(itertools.pairwise(cuts))
    stack = tuple(math.prod(shape[first:last]) for first, last in pieces)
    ready = all(joined(shape[first:last], strides[first:last]) for first, last in pieces)
    down, along = (_step(shape[first:last], strides[first:last]) for first, last in pieces[2:])
    rows, columns = stack[2:]
    # Products take matrices without copying them whose rows or columns are runs of memory, beside each other.
    by_rows = (along == 1 or columns == 1) and (down >= columns or rows == 1)
    by_columns = (down == 1 or rows == 1) and (along >= rows or columns == 1)
    ready = ready and (by_rows or by_columns)
    return _Stack(stack, ready, ready and along == 1)


def _step(shape: Sizes, strides: Sizes) -> int:
    """Return the step in memory along axes joined to one."""
    return next((step for size, step in zip(shape[::-1], strides[::-1], strict=True) if size != 1), strides[-1])


@lru_cache(SHAPES_KEPT)
def joined(shape: Sizes, strides: Sizes) -> bool:
    """Return whether axes are one run of steps in memory."""
    axes = [(size, step) for size, step in zip(shape, strides, strict=True) if size != 1]
    return all(outer == size * inner for (_, outer), (size, inner) in itertools.pairwise(axes))


@lru_cache(SHAPES_KEPT)
def rounds(sizes: Sizes, overlaps: Sizes) -> list[Index]:
    """Return indices that part so many positions into such as lie apart, where so many windows share a site."""
    paces = list(map(min, sizes, overlaps))
    return [
        tuple(slice(start, None, pace) for start, pace in zip(first, paces, strict=True))
        for first in itertools.product(*map(range, paces))
    ]
