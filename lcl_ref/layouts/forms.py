"""The two irregular forms of tf_keras: each as a function there and a function back.

All work on the taps ``(o*, k*, cg, g, p)`` of a layer without groups and sharing, so that g is 1; `text` is the pattern
of the stored array. Which taps are stored follows from the geometry, never from the values: a live weight may be 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.layouts.pattern import TAPS, Array, Axes, single_axes

_DENSE = "i* cg o* g p"


def to_dense(spec: Spec, taps: Array, text: str) -> Array:
    """Scatter over the input: ``dense[i, c, o, f] = w[o, k, c, f]`` where tap k of position o reads site i, else 0."""
    axes = Axes.of_weight(spec)
    dense = np.zeros(axes.shape(_DENSE), taps.dtype)
    dense[_joined(spec)] = taps[live(spec)]
    return axes.pack(dense, _DENSE, text)


def from_dense(spec: Spec, stored: Array, text: str) -> Array:
    """Gather ``w[o, k, c, f] = dense[i, c, o, f]``: the inverse of `to_dense`, 0 for taps that fall on padding."""
    axes = Axes.of_weight(spec)
    taps = np.zeros(axes.shape(TAPS), stored.dtype)
    taps[live(spec)] = axes.unpack(stored, text, _DENSE)[_joined(spec)]
    return taps


def to_live(spec: Spec, taps: Array, text: str) -> Array:
    """Return the taps that fall inside the input as one vector ``(connection_count,)``, in the order of the pattern."""
    flat = np.empty(spec.connection_count, taps.dtype)
    for row, alive, place in _rows(spec, taps, text):
        flat[place] = row[alive]
    return flat


def from_live(spec: Spec, flat: Array, text: str) -> Array:
    """Put the live taps back: the inverse of `to_live`, 0 for taps that fall on padding."""
    taps = np.zeros(Axes.of_weight(spec).shape(TAPS), flat.dtype)
    for row, alive, place in _rows(spec, taps, text):
        row[alive] = flat[place]
    return taps


def _rows(spec: Spec, taps: Array, text: str) -> Iterator[tuple[Array, NDArray[np.bool_], slice]]:
    """Yield views of the taps in the order of the pattern, which elements are live, and their place among all that are.

    A row at a time: a selection from the whole would need a copy of it in that order.
    """
    ordered, place = Axes.of_weight(spec).unpack(taps, TAPS, text), 0
    for row, alive in zip(ordered, _live_elements(spec, text), strict=True):
        count = int(np.count_nonzero(alive))
        yield row, alive, slice(place, place + count)
        place += count


def live(spec: Spec) -> NDArray[np.bool_]:
    """``(o*, k*)``: whether that tap of that position falls inside the input (SPEC 7.1)."""
    inside = np.ones((*spec.output_size, *spec.kernel_size), np.bool_)
    for axis, sites in enumerate(_sites(spec)):
        shape = [1] * inside.ndim
        shape[axis], shape[spec.rank + axis] = sites.shape
        inside &= ((sites >= 0) & (sites < spec.input_size[axis])).reshape(shape)
    return inside


def _sites(spec: Spec) -> list[NDArray[np.intp]]:
    """Return for every axis ``(o, k)``: the input site ``o*stride + k*dilation - lo``."""
    axes = zip(spec.output_size, spec.kernel_size, spec.stride, spec.dilation, spec.padding, strict=True)
    return [np.arange(o)[:, None] * step + np.arange(k) * spread - lo for o, k, step, spread, (lo, _) in axes]


def _joined(spec: Spec) -> tuple[Any, ...]:
    """Return the index ``[i*, :, o*]`` of every live tap in a dense matrix, in the order of `live`."""
    places = np.nonzero(live(spec))
    positions, taps = places[: spec.rank], places[spec.rank :]
    sites = [table[o, k] for table, o, k in zip(_sites(spec), positions, taps, strict=True)]
    return (*sites, slice(None), *positions)


def _live_elements(spec: Spec, text: str) -> NDArray[np.bool_]:
    """Return for every element of a weight in the order of the pattern whether its tap is live; a view of few."""
    axes = Axes.of_weight(spec)
    single = Axes(spec.rank, {**axes.lengths, "cg": 1, "g": 1, "p": 1})
    names = single_axes(text, spec.rank)
    return np.broadcast_to(single.unpack(live(spec), "o* k*", text), [axes.lengths[name] for name in names])
