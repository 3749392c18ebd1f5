"""The layer as one dense matrix: a second oracle that shares no geometry code with the reference (SPEC clause 11.3).

The matrix leads from all inputs to all outputs and is filled from the predicate "this input element feeds this output
element". It reads only the raw fields of `Spec`: positions are counted, not computed by the output-size formula, and
taps are found by solving ``i = o*stride + k*dilation - lo`` for k. Works on int64, float64 and Python integers (dtype
object).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec

Array = NDArray[Any]


@dataclass(frozen=True)
class Connectivity:
    """Which weight joins input element j to output element r.

    ``joined (inputs, outputs)`` tells whether any does, ``weight_index (inputs, outputs)`` is its flat index in the
    canonical weight (0 where none), inputs and outputs being flattened in C order.
    """

    joined: NDArray[np.bool_]
    weight_index: NDArray[np.intp]
    output_size: tuple[int, ...]


def _count_positions(spec: Spec, axis: int) -> int:
    """Slide a window along the padded axis and count where it fits."""
    lo, hi = spec.padding[axis]
    last_tap = (spec.kernel_size[axis] - 1) * spec.dilation[axis]
    starts = range(0, spec.input_size[axis] + lo + hi, spec.stride[axis])
    return sum(start + last_tap < spec.input_size[axis] + lo + hi for start in starts)


def _taps(spec: Spec, axis: int, positions: int) -> NDArray[np.intp]:
    """Return ``(i, o)``: the tap of position o that reads input site i, or -1."""
    lo, _ = spec.padding[axis]
    site = np.arange(spec.input_size[axis])[:, None]
    distance = site + lo - np.arange(positions)[None, :] * spec.stride[axis]
    tap, rest = distance // spec.dilation[axis], distance % spec.dilation[axis]
    return np.where((rest == 0) & (tap >= 0) & (tap < spec.kernel_size[axis]), tap, -1)


def _channel_slots(spec: Spec) -> NDArray[np.intp]:
    """Return ``(ci, co)``: the weight channel through which output channel f reads input channel c, or -1."""
    slots = np.full((spec.in_channels, spec.out_channels), -1)
    for f in range(spec.out_channels):
        if spec.channel_table is not None:
            mine = list(spec.channel_table[f])
        else:
            group = f * spec.groups // spec.out_channels
            mine = [c for c in range(spec.in_channels) if c * spec.groups // spec.in_channels == group]
        slots[mine, f] = range(len(mine))
    return slots


def connectivity(spec: Spec) -> Connectivity:
    """Evaluate the predicate for every pair of one input element and one output element."""
    positions = tuple(_count_positions(spec, axis) for axis in range(spec.rank))
    tables = [_taps(spec, axis, count) for axis, count in enumerate(positions)] + [_channel_slots(spec)]
    # Grid axes: (i*, ci, o*, co); each table lies along its own input axis and its own output axis.
    axes = spec.rank + 1
    spread = [
        table.reshape(
            [table.shape[0] if a == axis else table.shape[1] if a == axes + axis else 1 for a in range(2 * axes)]
        )
        for axis, table in enumerate(tables)
    ]
    joined = reduce(np.logical_and, [table >= 0 for table in spread])
    places = [
        (np.arange(count) * (not shared)).reshape([count if a == axes + axis else 1 for a in range(2 * axes)])
        for axis, (count, shared) in enumerate(zip(positions, spec.shared, strict=True))
    ]
    out_channel = np.arange(spec.out_channels).reshape([1] * (2 * axes - 1) + [-1])
    sizes = [1 if s else p for s, p in zip(spec.shared, positions, strict=True)]
    width = int(tables[-1].max()) + 1
    indices = [*places, *(np.maximum(table, 0) for table in spread), out_channel]
    flat = np.ravel_multi_index(
        tuple(np.broadcast_to(index, joined.shape) for index in indices),
        (*sizes, *spec.kernel_size, width, spec.out_channels),
    )
    inputs = int(np.prod(joined.shape[:axes]))
    matrix_index = np.where(joined, flat, 0).reshape(inputs, -1)
    return Connectivity(joined.reshape(inputs, -1), matrix_index, positions)


def _products(joined: NDArray[np.bool_], left: Array, right: Array) -> Array:
    """Multiply where joined, zero elsewhere, so that an inf or NaN touches nothing it is not joined to."""
    with np.errstate(invalid="ignore"):
        return np.where(joined, left * right, np.zeros((), left.dtype))


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` through the matrix of the layer."""
    route = connectivity(spec)
    matrix = weight.reshape(-1)[route.weight_index]
    rows = x.reshape(len(x), route.joined.shape[0])
    y = np.array([_products(route.joined, row[:, None], matrix).sum(axis=0) for row in rows], x.dtype)
    y = y.reshape(len(x), *route.output_size, spec.out_channels)
    return y if bias is None else y + bias


def transpose(spec: Spec, y: Array, weight: Array) -> Array:
    """Return ``xt (n, i*, ci)`` of ``y (n, o*, co)`` through the transposed matrix."""
    route = connectivity(spec)
    matrix = weight.reshape(-1)[route.weight_index]
    rows = y.reshape(len(y), route.joined.shape[1])
    xt = np.array([_products(route.joined, row[None, :], matrix).sum(axis=1) for row in rows], y.dtype)
    return xt.reshape(len(y), *spec.input_size, spec.in_channels)


def vjp(spec: Spec, x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dw, db)``: dw gathers every matrix entry's gradient at its weight."""
    route = connectivity(spec)
    inputs, outputs = route.joined.shape
    columns, rows = x.reshape(len(x), inputs), dy.reshape(len(dy), outputs)
    dw = np.zeros(weight.size, x.dtype)
    for column, row in zip(columns, rows, strict=True):
        products = _products(route.joined, column[:, None], row[None, :])
        np.add.at(dw, route.weight_index[route.joined], products[route.joined])
    db = _bias_gradient(spec, dy)
    return transpose(spec, dy, weight), dw.reshape(weight.shape), db


def _bias_gradient(spec: Spec, dy: Array) -> Array | None:
    if spec.bias == "none":
        return None
    if spec.bias == "position":
        db: Array = dy.sum(axis=0)
        return db
    return np.array([dy[..., f].sum() for f in range(spec.out_channels)], dy.dtype)
