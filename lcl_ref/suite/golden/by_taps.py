"""The layer of SPEC.md tap by tap and channel by channel, all positions at once: quick where there are many positions.

A third computation beside the reference, which goes position by position, and its matrix products; integers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.reference import bias_gradient
from lcl_ref.core.spec import Spec

Array = NDArray[Any]
Places = tuple[Any, ...]


class _Term(NamedTuple):
    """A weight of each position: where it lies, and where what it multiplies and what it adds to."""

    input: Places
    output: Places
    weight: Places


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return ``y (n, o*, co)`` (SPEC 0.4)."""
    y = np.zeros(spec.y_shape(len(x)), x.dtype)
    for term in _terms(spec):
        y[term.output] += x[term.input] * weight[term.weight]
    return y if bias is None else y + bias


def vjp(spec: Spec, x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dw, db)`` (SPEC 9.1 to 9.3)."""
    dx, dw = np.zeros_like(x), np.zeros_like(weight)
    shared = tuple(axis for axis, is_shared in enumerate(spec.shared) if is_shared)
    for term in _terms(spec):
        dx[term.input] += dy[term.output] * weight[term.weight]
        dw[term.weight] += (x[term.input] * dy[term.output]).sum(axis=0).sum(axis=shared, keepdims=True)
    return dx, dw, bias_gradient(spec, dy)


def _terms(spec: Spec) -> Iterator[_Term]:
    """Yield every tap and pair of channels, with the positions whose tap lies in the input; their sites differ."""
    for tap in np.ndindex(spec.kernel_size):
        positions, sites = [], []
        for axis, k in enumerate(tap):
            lo = spec.padding[axis][0]
            site = np.arange(spec.output_size[axis]) * spec.stride[axis] + k * spec.dilation[axis] - lo
            inside = np.flatnonzero((site >= 0) & (site < spec.input_size[axis]))
            positions.append(inside)
            sites.append(site[inside])
        own = [np.arange(1) if is_shared else at for at, is_shared in zip(positions, spec.shared, strict=True)]
        for f, c in np.ndindex(spec.channels.shape):
            yield _Term(
                (slice(None), *np.ix_(*sites), int(spec.channels[f, c])),
                (slice(None), *np.ix_(*positions), f),
                (*np.ix_(*own), *tap, c, f),
            )
