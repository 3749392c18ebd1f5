"""A layer as a plan that can be edited: every deviation is an edit of it, and edits compose.

The unedited plan is the layer of SPEC.md (tested equal to the reference on every exact case). An edit changes a field:
how positions and taps find input sites, which channels are read, what lies outside the input, how operands are
rearranged, how gradients are summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.axes import spatial_names
from lcl_ref.core.spec import Spec
from lcl_ref.suite.diagnosis.deviations.hooks import Hook

Array = NDArray[Any]
Table = tuple[tuple[int, ...], ...]
Finish = Callable[[Array], Array]
Outside = Literal["zero", "edge", "wrap", "reflect", "memory"]


class Refused(Exception):  # noqa: N818 -- says that such an implementation gives no answer, not that we failed
    """An edited layer that could not run on these operands (weights missing for a position it wants to compute)."""


@dataclass(frozen=True)
class Axis:
    """One spatial axis: position o, tap k read site ``(o*stride + k*dilation - lo - early) / spread`` if whole."""

    name: str
    size: int
    positions: int
    kernel: int
    stride: int
    dilation: int
    lo: int
    hi: int
    shared: bool
    spread: int = 1
    early: int = 0

    @property
    def window(self) -> int:
        """Elements one window spans."""
        return self.dilation * (self.kernel - 1) + 1

    def resized(self, *, ceil: bool = False) -> Axis:
        """Return the axis with as many positions as its own fields give, instead of as many as were asked for."""
        room = self.size + self.lo + self.hi - self.window
        steps = -(-room // self.stride) if ceil else room // self.stride
        return replace(self, positions=max(steps + 1, 1))


@dataclass(frozen=True)
class Plan:
    """How a layer is computed.

    Parameters
    ----------
    axes : tuple of Axis
        Spatial axes, slowest first.
    channels : tuple of tuple of int
        ``(co, cg)`` input channel read by each weight channel of each output channel.
    groups : int
        Number of blocks `channels` was built from; 1 where there is a connection table.
    tabled : bool
        Whether there is one.
    in_channels : int
        Channels of x.
    outside : str
        What a tap outside the input reads: zero, the nearest site, the input repeated or mirrored, or what lies there
        in memory.
    on_x, on_weight, on_bias, on_sums, on_y : tuple of Hook
        Linear maps of the operands before the sums, of the sums before the bias, and of the output; each keeps the
        shape.
    overlap : {"add", "overwrite"}
        How the gradients of overlapping windows meet in dx.
    tie : {"sum", "first", "last"}
        How the gradients of positions that share a weight meet in dw.
    operands : str
        Format both operands of every product are rounded to, or empty.
    accumulator : str
        Format every partial sum is rounded to, or empty.
    stored : str
        Format the finished result is rounded to, or empty.
    masked : bool
        Whether unconnected inputs are multiplied by zero, which an inf or NaN turns into NaN.
    average : bool
        Whether the finished result is divided by the batch size.
    finish : tuple of callable
        Applied to the finished result.
    """

    axes: tuple[Axis, ...]
    channels: Table
    groups: int
    tabled: bool
    in_channels: int
    outside: Outside = "zero"
    on_x: tuple[Hook, ...] = ()
    on_weight: tuple[Hook, ...] = ()
    on_bias: tuple[Hook, ...] = ()
    on_sums: tuple[Hook, ...] = ()
    on_y: tuple[Hook, ...] = ()
    overlap: Literal["add", "overwrite"] = "add"
    tie: Literal["sum", "first", "last"] = "sum"
    operands: str = ""
    accumulator: str = ""
    stored: str = ""
    masked: bool = False
    average: bool = False
    finish: tuple[Finish, ...] = ()

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.axes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Input sizes per axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def positions(self) -> tuple[int, ...]:
        """Output sizes per axis."""
        return tuple(axis.positions for axis in self.axes)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Taps per axis."""
        return tuple(axis.kernel for axis in self.axes)

    @property
    def out_channels(self) -> int:
        """Channels of y."""
        return len(self.channels)

    def adding(self, field: str, hook: Hook) -> Plan:
        """Return the plan with one more hook in `field`, one of ``on_x`` to ``on_y``, after the others."""
        changes: dict[str, Any] = {field: (*getattr(self, field), hook)}
        return replace(self, **changes)

    def finishing(self, step: Finish) -> Plan:
        """Return the plan with one more step on the finished result."""
        return replace(self, finish=(*self.finish, step))


@lru_cache(maxsize=1024)
def plan_of(spec: Spec) -> Plan:
    """Return the unedited plan of a layer."""
    return Plan(
        axes=tuple(_axis(spec, number, name) for number, name in enumerate(spatial_names(spec.rank))),
        channels=tuple(tuple(int(channel) for channel in row) for row in spec.channels),
        groups=spec.groups,
        tabled=spec.channel_table is not None,
        in_channels=spec.in_channels,
    )


def _axis(spec: Spec, number: int, name: str) -> Axis:
    lo, hi = spec.padding[number]
    return Axis(
        name=name,
        size=spec.input_size[number],
        positions=spec.output_size[number],
        kernel=spec.kernel_size[number],
        stride=spec.stride[number],
        dilation=spec.dilation[number],
        lo=lo,
        hi=hi,
        shared=spec.shared[number],
    )


@dataclass(frozen=True)
class Sites:
    """Input sites of a batch: ``index (n, o, k)`` counts sites over all samples, or is their total where none is."""

    index: NDArray[np.intp]
    alive: NDArray[np.bool_]


@lru_cache(maxsize=4096)
def sites(axes: tuple[Axis, ...], outside: Outside, batch: int) -> Sites:
    """Return which input site each tap of each position reads, positions and taps flattened."""
    rank = len(axes)
    taps = [_taps(axis, outside) for axis in axes]
    place, alive = np.zeros((1,) * (2 * rank), np.intp), np.ones((1,) * (2 * rank), bool)
    for number, (axis, (site, exists)) in enumerate(zip(axes, taps, strict=True)):
        shape = [1] * (2 * rank)
        shape[number], shape[rank + number] = site.shape
        place = place * axis.size + site.reshape(shape)
        alive = alive & exists.reshape(shape)
    count = math.prod(axis.size for axis in axes)
    flat = (math.prod(axis.positions for axis in axes), math.prod(axis.kernel for axis in axes))
    everywhere = np.arange(batch)[:, None, None] * count + place.reshape(flat)
    reachable = alive.reshape(flat) & (everywhere >= 0) & (everywhere < batch * count)
    return Sites(np.where(reachable, everywhere, batch * count), alive.reshape(flat))


def _taps(axis: Axis, outside: Outside) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return ``(o, k)`` input sites of one axis, and whether each exists."""
    raw = np.arange(axis.positions)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation
    raw = raw - axis.lo - axis.early
    site, between = raw // axis.spread, raw % axis.spread != 0
    inside = (site >= 0) & (site < axis.size)
    if outside == "edge":
        site, inside = np.clip(site, 0, axis.size - 1), np.ones_like(inside)
    elif outside == "wrap":
        site, inside = site % axis.size, np.ones_like(inside)
    elif outside == "reflect":
        period = max(2 * (axis.size - 1), 1)
        folded = site % period
        site, inside = np.where(folded < axis.size, folded, period - folded), np.ones_like(inside)
    elif outside == "memory":
        inside = np.ones_like(inside)
    return site, inside & ~between


@lru_cache(maxsize=4096)
def channel_blocks(channels: Table) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Return ``(input channels, output channels that read them)``: a group at a time."""
    blocks: dict[tuple[int, ...], list[int]] = {}
    for output, row in enumerate(channels):
        blocks.setdefault(row, []).append(output)
    return tuple((row, tuple(outputs)) for row, outputs in blocks.items())
