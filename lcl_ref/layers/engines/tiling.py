"""How engines walk their output: windows side by side, tiles of positions, and the loop over them.

A layer is computed in tiles of positions: the windows of a tile are gathered, multiplied by its weights and dropped, so
that windows never exist all at once. One tile is the whole output where that costs nothing,

- windows lie side by side (`side_by_side`): non-overlapping windows, a kernel of size 1, a kernel as large as the input
  and the block-diagonal map of rank 0. Gathering is then a reshape, and so is adding up what windows leave behind;
- or the windows of all positions fit the room given: a small layer.

Elsewhere `tiles` are whole along the last axes, a run along one and single along the first. A compiler that unrolls no
loops gets runs of flat positions instead, all of one length (`Walk`). Only NumPy and the numbers of a `Spec` are used,
whatever the framework.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups

Tile = tuple[slice, ...]
"""A block of positions, one slice per axis."""

Run = tuple[Any, int]
"""Where some flat positions start, and how many: the length is static."""

PADDED_BYTES = 8 << 20
"""Aim for the part of the batch whose input is copied, padding included, at a time; or a twentieth of the weights."""


def side_by_side(spec: Spec) -> bool:
    """Return whether the windows partition the input: each element is in one window, and they are a reshape of it."""
    axes = zip(spec.input_size, spec.output_size, spec.kernel_size, spec.stride, spec.dilation, strict=True)
    return not any(map(any, spec.padding)) and all(
        count * kernel == size and (count == 1 or stride == kernel) and (kernel == 1 or dilation == 1)
        for size, count, kernel, stride, dilation in axes
    )


def windows_bytes(spec: Spec, batch: int, itemsize: int) -> int:
    """Return the bytes of all windows at once."""
    return math.prod(spec.output_size) * bytes_per_position(spec, batch, itemsize)


def bytes_per_position(spec: Spec, batch: int, itemsize: int) -> int:
    """Return the bytes of the windows at one position, of all samples and groups."""
    return batch * spec.fan_in * groups(spec) * itemsize


def tiles(spec: Spec, batch: int, itemsize: int, room: int) -> list[Tile]:
    """Return tiles that cover the output, the windows of each in about `room` bytes; one if they are side by side."""
    left = room // max(1, bytes_per_position(spec, batch, itemsize))
    lengths = []
    for size in reversed(spec.output_size):
        lengths.append(size if side_by_side(spec) else max(1, min(size, left)))
        left //= size
    runs = [
        [slice(start, min(start + length, size)) for start in range(0, size, length)]
        for size, length in zip(spec.output_size, reversed(lengths), strict=True)
    ]
    return list(itertools.product(*runs))


def parts(spec: Spec, batch: int, itemsize: int) -> list[slice]:
    """Return slices of the batch, of even length, whose padded input may be copied at once; one if it is empty."""
    most = max(PADDED_BYTES, itemsize * spec.parameter_count // 20)
    count = max(1, min(batch, -(-batch * itemsize * math.prod(padded_shape(spec, 1)) // most)))
    length = max(1, -(-batch // count))
    return [slice(start, min(start + length, batch)) for start in range(0, max(1, batch), length)]


def padded_shape(spec: Spec, batch: int) -> tuple[int, ...]:
    """``(sites*, g, cg, n)``: sites are those of the padded input."""
    sites = (size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True))
    return *sites, groups(spec), spec.group_channels, batch


def inside(spec: Spec) -> Tile:
    """Return where the input lies among the sites."""
    return tuple(slice(lo, lo + size) for size, (lo, _) in zip(spec.input_size, spec.padding, strict=True))


def own(spec: Spec) -> list[int]:
    """Return the position axes with weights of their own."""
    return [axis for axis in range(spec.rank) if not spec.shared[axis]]


def tied(spec: Spec) -> list[int]:
    """Return the position axes along which weights are shared."""
    return [axis for axis in range(spec.rank) if spec.shared[axis]]


def of_weight(spec: Spec, tile: Tile) -> Tile:
    """Return the tile as an index of the weight's position axes: all of a shared one, which is of length 1."""
    return tuple(slice(0, 1) if shared else run for run, shared in zip(tile, spec.shared, strict=True))


def counts(tile: Tile) -> list[int]:
    """Return how many positions the tile has along each axis."""
    return [run.stop - run.start for run in tile]


class Walk(ABC):
    """Flat positions, where they see their windows, and how many to take at a time.

    Positions along axes with weights of their own (``own``) and those along shared axes (``tied``) are flat in C order;
    a tile is a run of either. Tap k of the window at positions o and t is the flat site ``own[o] + tied[t] + taps[k]``.

    Parameters
    ----------
    spec : Spec
        The layer.
    batch, itemsize : int
        Samples, and bytes of a number.
    room : int
        Aim for the windows of one tile, in bytes.

    Attributes
    ----------
    own, tied, taps : numpy.ndarray
        ``(o,)``, ``(t,)``, ``(k,)`` int32.
    own_length, tied_length : int
        Of a run; all tied positions before a second own one.
    """

    def __init__(self, spec: Spec, batch: int, itemsize: int, room: int) -> None:
        jumps = np.cumprod((1, *padded_shape(spec, 1)[: spec.rank][:0:-1]))[::-1]
        axes = zip(spec.output_size, spec.stride, jumps, strict=False)
        steps = [np.arange(count) * stride * jump for count, stride, jump in axes]
        spread = zip(spec.kernel_size, spec.dilation, jumps, strict=False)
        self.own = _grid([steps[axis] for axis in own(spec)])
        self.tied = _grid([steps[axis] for axis in tied(spec)])
        self.taps = _grid([np.arange(kernel) * dilation * jump for kernel, dilation, jump in spread])
        most = max(1, room // max(1, bytes_per_position(spec, batch, itemsize)))
        self.tied_length = _even(len(self.tied), most)
        self.own_length = _even(len(self.own), max(1, most // len(self.tied)))

    def over(self, tile: Callable[[Run, Run, Any], Any], carried: Any) -> Any:
        """Return `carried` after ``carried = tile(own, tied, carried)`` of every tile."""

        def row(own: Run, carried: Any) -> Any:
            along = lambda tied, carried: tile(own, tied, carried)  # noqa: E731 -- the body of the inner loop
            return self._along(len(self.tied), self.tied_length, along, carried)

        return self._along(len(self.own), self.own_length, row, carried)

    def _along(self, total: int, length: int, body: Callable[[Run, Any], Any], carried: Any) -> Any:
        """Return `carried` after ``carried = body((start, length), carried)`` for every run; the first may be shorter.

        The rest comes before the loop: behind it, XLA would copy what the loop has made.
        """
        count, rest = divmod(total, length)
        carried = body((0, rest), carried) if rest else carried
        if count == 1:
            return body((rest, length), carried)
        return self.repeat(count, lambda number, carried: body((rest + number * length, length), carried), carried)

    @abstractmethod
    def repeat(self, count: int, body: Callable[[Any, Any], Any], carried: Any) -> Any:
        """Return `carried` after ``carried = body(number, carried)`` for every number: a loop of the compiler's."""


def _grid(axes: Sequence[Any]) -> Any:
    """Return the sums of one element of every axis, flat in C order."""
    return reduce(np.add.outer, axes, np.zeros((), int)).reshape(-1).astype(np.int32)


def _even(total: int, most: int) -> int:
    """Return about `most`, if possible a divisor of `total`: a rest would be compiled separately."""
    fitting = [length for length in range(1, total + 1) if total % length == 0 and most <= 4 * length <= 6 * most]
    return min(total, max(fitting, default=most))
