"""The two irregular forms of tf_keras: each as a function there and a function back.

All work on the canonical weight ``(o*, k*, cg, co)`` of a layer without groups and sharing; `text` is the pattern of
the stored array. Which taps are stored follows from the geometry, never from the values: a live weight may be 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.layouts.pattern import CANONICAL, TAPS, Array, Axes

_DENSE = "i* cg o* g p"


def to_dense(spec: Spec, weight: Array, text: str) -> Array:
    """Scatter over the input: ``dense[i, c, o, f] = w[o, k, c, f]`` where tap k of position o reads site i, else 0."""
    axes = Axes.of_weight(spec)
    dense = np.zeros(axes.shape("i* cg o* co"), weight.dtype)
    dense[_joined(spec)] = weight[live(spec)]
    return axes.pack(axes.unpack(dense, "i* cg o* co", _DENSE), _DENSE, text)


def from_dense(spec: Spec, stored: Array, text: str) -> Array:
    """Gather ``w[o, k, c, f] = dense[i, c, o, f]``: the inverse of `to_dense`, 0 for taps that fall on padding."""
    dense = Axes.of_weight(spec).unpack(stored, text, _DENSE)[..., 0, :]  # (i*, cg, o*, co): there is one group
    weight = np.zeros(spec.weight_shape, stored.dtype)
    weight[live(spec)] = dense[_joined(spec)]
    return weight


def to_live(spec: Spec, weight: Array, text: str) -> Array:
    """Return the taps that fall inside the input as one vector ``(connection_count,)``, in the order of the pattern."""
    axes = Axes.of_weight(spec)
    stored = axes.pack(axes.unpack(weight, CANONICAL, TAPS), TAPS, text)
    flat: Array = stored[_live_elements(spec, text)]
    return flat


def from_live(spec: Spec, flat: Array, text: str) -> Array:
    """Put the live taps back: the inverse of `to_live`, 0 for taps that fall on padding."""
    axes = Axes.of_weight(spec)
    stored = np.zeros(axes.shape(text), flat.dtype)
    stored[_live_elements(spec, text)] = flat
    return axes.pack(axes.unpack(stored, text, TAPS), TAPS, CANONICAL)


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
    """Return for every element of a weight stored by the pattern whether its tap is live."""
    axes = Axes.of_weight(spec)
    single = Axes(spec.rank, {**axes.lengths, "cg": 1, "g": 1, "p": 1})
    spread = single.pack(single.unpack(live(spec), "o* k*", TAPS), TAPS, text)
    return np.broadcast_to(spread, axes.shape(text))
