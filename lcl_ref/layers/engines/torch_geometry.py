"""What follows from the geometry of a layer alone, worked out once: sizes, orders of axes, which windows overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups

Index = tuple[slice, ...]
"""One slice per axis."""


class Order(NamedTuple):
    """How the axes of a tensor ``(o*, g, inner*, n)`` are ordered in a stack ``(row, rest, inner, tied*n)``."""

    axes: tuple[int, ...]
    """``(own*, g, inner*, tied*, n)``."""

    inverse: tuple[int, ...]
    """The order that undoes it."""

    cuts: tuple[int, ...]
    """Where the four axes of the stack begin, and where the last ends."""

    turned: tuple[int, ...]
    """From `axes` to ``(own*, g, tied*, n, inner*)``."""

    sizes: Callable[[Sequence[int]], tuple[int, ...]]
    """Puts sizes in the order of `axes`."""


class Geometry:
    """Sizes and orders of axes of one layer.

    Parameters
    ----------
    spec : Spec
        The layer.

    Attributes
    ----------
    groups, outputs : int
        Groups after gathering, and output channels of each.
    own, tied : list of int
        Position axes with weights of their own, and those that share them.
    padded_layout : tuple of int
        ``(sites*, g*cg)``: the input with its padding, channels in the order of the connection table.
    inside : tuple of slice
        Where the input lies in its padded form.
    as_given : bool
        Whether there is nothing to pad or to gather.
    windows_layout : tuple of int
        ``(o*, g, k*, cg)``.
    in_runs : bool
        Whether every window of a sample is one run of memory.
    windows_disjoint : bool
        Whether no site is in two windows.
    overlaps : tuple of int
        Per axis, how many windows in a row share a site.
    sees_all : bool
        Whether one position sees all of the input, as in a block-diagonal layer.
    windows_order, outputs_order : Order
        How windows ``(o*, g, k*, cg, n)`` and outputs ``(o*, g, co/g, n)`` are stacked.
    pads : list of int
        The padding as torch's `pad` takes it.
    unfolds : list of tuple of int
        Per axis the extent of a window, its stride, and the stride of its taps.
    windows_as_rows, samples_first : tuple of int
        Orders ``(n, o*, g, cg, k*) -> (o*, g, n, k*, cg)`` and ``(o*, g, n, co/g) -> (n, o*, g, co/g)``.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.groups = groups(spec)
        self.outputs = spec.out_channels // self.groups
        self.own, self.tied = ([a for a in range(spec.rank) if spec.shared[a] is kind] for kind in (False, True))
        sites = [size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True)]
        self.padded_layout = (*sites, self.groups * spec.group_channels)
        self.inside = tuple(slice(lo, lo + size) for size, (lo, _) in zip(spec.input_size, spec.padding, strict=True))
        self.as_given = spec.channel_table is None and not any(map(any, spec.padding))
        self.windows_layout = (*spec.output_size, self.groups, *spec.kernel_size, spec.group_channels)
        self.in_runs = _in_runs(spec, self.padded_layout)
        extents = list(map(window_extent, spec.kernel_size, spec.dilation))
        self.unfolds = list(zip(extents, spec.stride, spec.dilation, strict=True))
        self.pads = [0, 0, *(side for pair in reversed(spec.padding) for side in pair)]
        self.overlaps = tuple(-(-extent // stride) for extent, stride in zip(extents, spec.stride, strict=True))
        self.windows_disjoint = all(
            size == 1 or overlap == 1 for size, overlap in zip(spec.output_size, self.overlaps, strict=True)
        )
        self.sees_all = math.prod(spec.output_size) == 1 and spec.fan_in * self.groups == math.prod(self.padded_layout)
        places, taps = range(1, spec.rank + 2), range(spec.rank + 3, 2 * spec.rank + 3)
        self.windows_as_rows = (*places, 0, *taps, spec.rank + 2)
        self.samples_first = (spec.rank + 1, *range(spec.rank + 1), spec.rank + 2)
        self._sent: dict[torch.device, Tensor] = {}
        self.windows_order, self.outputs_order = self._order(2 * spec.rank + 3), self._order(spec.rank + 3)

    def channels(self, like: Tensor) -> Tensor:
        """Return the connection table, flat, where `like` is: kept there, since a host waits while it sends one."""
        if like.device in self._sent and not torch.compiler.is_compiling():
            return self._sent[like.device]
        with torch.inference_mode(mode=False):  # what is made in that mode could not be saved for a backward pass
            table = torch.from_numpy(self.spec.channels.reshape(-1)).to(like.device)
        if type(table) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(table):  # noqa: SLF001
            self._sent[like.device] = table
        return table

    def _order(self, axes: int) -> Order:
        """Return how tensors of so many axes are stacked."""
        order = (*self.own, *range(self.spec.rank, axes - 1), *self.tied, axes - 1)
        cuts = (0, min(1, len(self.own)), len(self.own) + 1, axes - len(self.tied) - 1, axes)
        turned = (*range(cuts[2]), *range(cuts[3], axes), *range(cuts[2], cuts[3]))
        sizes: Any = itemgetter(*order)
        return Order(order, inverse(order), cuts, turned, sizes)


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """Return the order that undoes a permutation."""
    return tuple(order.index(axis) for axis in range(len(order)))


def side_by_side(spec: Spec) -> int:
    """Return how many numbers of a sample lie side by side, in the input and in a window."""
    in_line = spec.rank > 0 and spec.groups == 1 and spec.dilation[-1] == 1
    return spec.group_channels * (spec.kernel_size[-1] if in_line else 1)


def rows_overlap(spec: Spec, steps: int) -> bool:
    """Return whether windows are longer than so many strides along the first of several axes, and without gaps."""
    if spec.rank < 2 or spec.shared[0] or spec.dilation[0] > 1:
        return False
    return spec.output_size[0] > 1 and spec.kernel_size[0] > steps * spec.stride[0]


def _in_runs(spec: Spec, padded_layout: Sequence[int]) -> bool:
    """Return whether every window of a sample is one run of memory."""
    *sites, step = padded_layout
    run = spec.group_channels
    for size, kernel, dilation in reversed(list(zip(sites, spec.kernel_size, spec.dilation, strict=True))):
        if kernel > 1 and dilation * step != run:
            return False
        run, step = run * kernel, step * size
    return True
