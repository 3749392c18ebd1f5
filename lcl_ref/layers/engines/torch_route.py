"""Which way a layer is computed in torch: decided here, from its geometry alone, for all three products.

=======================================  ==============================  ===========================================
layer                                    input                           windows
=======================================  ==============================  ===========================================
windows that overlap                     read as it lies                 a copy of one box of positions
the same, of few numbers side by side    copied once, with batch last    a copy of one box of positions
the same, each one run of memory (1-D)   read as it lies                 views of the input
kernel of size 1                         read as it lies                 views of the input
windows that tile several axes           read as it lies                 a copy of one box of positions
block-diagonal, kernel of the input      one operation of torch's own, and torch's own derivatives of it
small in all, of any kind                a few operations of torch's own on all windows at once, and their derivatives
=======================================  ==============================  ===========================================

With the batch last, a window of all samples is a few long runs of memory, and so is whatever is done to it. A box holds
as many positions as `BOX_BYTES` has room for, whole rows of positions if any. What windows of a box share along the
first axis is copied once (`Route.slides`). An input with padding, or of another order or dtype, is laid out first, a
large one in strips of rows. Matrices with few rows or columns are multiplied the other way round: see `THIN`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups

BOX_BYTES = 4 << 20
"""Aim for what is held of one box, or twice that if weights are large: a cache holds it, and few calls do all of it."""

PART_BYTES = 8 << 20
"""Aim for the part of the batch laid out at a time, unless a fortieth of the weights is more."""

SMALL_BYTES = 2 << 20
"""Up to this size of all windows, making boxes takes longer than what is in them."""

THIN = 16
"""Rows of a product from this length on fill a vector register; shorter ones take several times as long."""

SHORT_RUN = 24
"""Windows are copied in runs of memory: of fewer numbers than this, a run takes longer than its numbers do."""

SHORT_SUM = 200
"""The same for windows that are added up: a run is read, added to and written."""

Box = tuple[slice, ...]
"""A block of positions, one slice per axis."""


def wide(tensor: Tensor) -> torch.dtype:
    """Return the dtype sums are kept in."""
    return torch.float32 if tensor.dtype.itemsize == 2 else tensor.dtype


class Route:
    """The way of one layer.

    Parameters
    ----------
    spec : Spec
        The layer.
    short : int
        Fewest numbers of a sample, side by side in a window, that are worth reading as they lie.

    Attributes
    ----------
    groups, outputs : int
        Groups after gathering, and output channels of each.
    laid_out : tuple of int
        ``(sites*, g*cg)``: the input with its padding, channels in the order of the connection table.
    plain : bool
        Whether there is nothing to pad or to gather.
    batch_last : bool
        Whether the input is copied with the batch last, or read as it lies.
    apart : bool
        Whether no site is in two windows.
    few_outputs, few_inputs : bool
        Whether matrices are thin in outputs, or in inputs.
    blocks : bool
        Whether one position sees all of the input, as in a block-diagonal layer.
    slides : bool
        Whether windows overlap along the first axis, and those of a box are views of what is copied of it.
    views : bool
        Whether windows of any run of positions are a view, so that none is held.
    own, tied : list of int
        Position axes with weights of their own, and those that share them.
    """

    def __init__(self, spec: Spec, short: int = SHORT_RUN) -> None:
        self.spec, self._short = spec, short
        self.groups = groups(spec)
        self.outputs = spec.out_channels // self.groups
        sites = [size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True)]
        self.laid_out = (*sites, self.groups * spec.group_channels)
        self.plain = spec.channel_table is None and not any(map(any, spec.padding))
        windows = math.prod(spec.output_size) * spec.fan_in * self.groups
        in_runs = _in_runs(spec, self.laid_out)
        self.batch_last = windows > 2 * math.prod(self.laid_out) and not in_runs and _run(spec) < short
        self.slides = not in_runs and _slides(spec, 3 if self.batch_last else 1)
        self.apart = _apart(spec)
        self.few_outputs, self.few_inputs = self.outputs < THIN, spec.fan_in < THIN
        sees_all = math.prod(spec.output_size) == 1 and spec.fan_in * self.groups == math.prod(self.laid_out)
        self.blocks = sees_all and self.plain and (spec.rank == 0 or self.groups == 1)
        self.views = spec.rank == 1 and self.groups == 1 and in_runs and not any(spec.shared)
        self.own, self.tied = ([a for a in range(spec.rank) if spec.shared[a] is kind] for kind in (False, True))

    def summing(self, batch: int) -> Route:
        """Return the way of the product that adds up windows, for so many samples."""
        return Route(self.spec, SHORT_SUM) if batch >= THIN else self

    def fits(self, x: Tensor, most: int) -> bool:
        """Tell whether all windows at once, and the output, fit in `most` bytes, in a dtype that is not widened."""
        spec = self.spec
        floats = math.prod(spec.output_size) * max(spec.fan_in * self.groups, spec.out_channels)
        return wide(x) == x.dtype and len(x) * floats * x.itemsize <= most

    def lies_ready(self, x: Tensor) -> bool:
        """Tell whether ``x (n, i*, ci)`` serves without being laid out: nothing to turn, pad, gather or widen."""
        return self.plain and not self.batch_last and wide(x) == x.dtype and x.is_contiguous()

    def strips(self, x: Tensor, weights: int) -> list[Strip]:
        """Return strips along the first axis, of even length, whose laid out input keeps to the working memory.

        `weights` is the size of the weight in bytes. One strip, if the input is small or read as it lies.
        """
        spec, whole = self.spec, [Strip(self, slice(None), slice(None))]
        row = len(x) * wide(x).itemsize * math.prod(self.laid_out[1:])
        room = max(PART_BYTES, weights // 40)
        if self.spec.rank == 0 or self.lies_ready(x) or row * self.laid_out[0] <= room:
            return whole
        extent, stride = window_extent(spec.kernel_size[0], spec.dilation[0]), spec.stride[0]
        longest = (room // max(1, row) - extent) // stride + 1
        runs = _runs(spec.output_size[0], longest)
        strips = [self._strip(run.start * stride, (run.stop - 1) * stride + extent, run) for run in runs]
        found = [strip for strip in strips if strip]
        return found if len(found) == len(runs) > 1 else whole

    def _strip(self, start: int, stop: int, positions: slice) -> Strip | None:
        """Return the strip of padded sites from `start` up to `stop`; None if all of them are padding."""
        spec, (lo, _) = self.spec, self.spec.padding[0]
        sites = slice(max(0, start - lo), min(spec.input_size[0], stop - lo))
        if sites.start >= sites.stop:
            return None
        size = (sites.stop - sites.start, *spec.input_size[1:])
        padding = ((max(0, lo - start), max(0, stop - lo - spec.input_size[0])), *spec.padding[1:])
        return Strip(Route(replace(spec, input_size=size, padding=padding), self._short), sites, positions)

    def parts(self, x: Tensor, weights: int) -> list[slice]:
        """Return slices of the batch, of even length, likewise: where a strip of one position is still too large."""
        if self.lies_ready(x):
            return _runs(len(x), len(x))
        sample = math.prod(self.laid_out) * wide(x).itemsize
        return _runs(len(x), max(PART_BYTES, weights // 40) // sample)

    def boxes(self, windows: Tensor, matrices: Tensor, *, made: bool = False) -> Iterator[Box]:
        """Yield boxes that cover the output: whole along the last axes, a run along one, single along those before it.

        Where windows slide, that holds for the other axes, and boxes are of as many rows along the first as fit, or
        as a window sees. `matrices`, of the weight or its gradient, are held where they need a copy. `made` says that
        windows are a result, which is held even where windows of the input would be views.
        """
        spec, slides = self.spec, self.slides and not made
        inputs = 0 if self.views and not made else windows.shape[-1] * spec.fan_in * self.groups
        copied = self.groups > 1 or self.few_outputs or matrices.dtype != windows.dtype
        beside = windows.shape[-1] * spec.out_channels + copied * spec.fan_in * spec.out_channels
        room = min(max(BOX_BYTES, matrices.nbytes // 60), 2 * BOX_BYTES) // windows.itemsize
        if not slides:
            return itertools.product(*_blocks(spec.output_size, room // (inputs + beside)))
        (kernel, stride), columns = (spec.kernel_size[0], spec.stride[0]), math.prod(spec.output_size[1:])
        line = inputs // kernel
        fitting = (room // columns - line * (kernel - stride)) // (line * stride + beside)
        rows = _runs(spec.output_size[0], max(fitting, kernel // stride))
        column = line * ((rows[0].stop - 1) * stride + kernel) + rows[0].stop * beside
        if column > room:
            rows, column = _runs(spec.output_size[0], 1), inputs + beside
        return itertools.product(rows, *_blocks(spec.output_size[1:], room // column))


class Strip(NamedTuple):
    """A layer of its own: some positions along the first axis, and the sites they see."""

    route: Route
    sites: slice
    positions: slice


def _apart(spec: Spec) -> bool:
    """Tell whether no site is in two windows."""
    axes = zip(spec.output_size, spec.kernel_size, spec.dilation, spec.stride, strict=True)
    return all(size == 1 or window_extent(kernel, dilation) <= stride for size, kernel, dilation, stride in axes)


def _in_runs(spec: Spec, laid_out: Sequence[int]) -> bool:
    """Tell whether every window of a sample is one run of memory."""
    *sites, step = laid_out
    run = spec.group_channels
    for size, kernel, dilation in reversed(list(zip(sites, spec.kernel_size, spec.dilation, strict=True))):
        if kernel > 1 and dilation * step != run:
            return False
        run, step = run * kernel, step * size
    return True


def _run(spec: Spec) -> int:
    """Return how many numbers of a sample lie side by side, in the input and in a window."""
    in_line = spec.rank > 0 and spec.groups == 1 and spec.dilation[-1] == 1
    return spec.group_channels * (spec.kernel_size[-1] if in_line else 1)


def _slides(spec: Spec, times: int) -> bool:
    """Tell whether windows are longer than so many strides along the first of several axes, and without gaps."""
    if spec.rank < 2 or spec.shared[0] or spec.dilation[0] > 1:
        return False
    return spec.output_size[0] > 1 and spec.kernel_size[0] > times * spec.stride[0]


def _blocks(sizes: Sequence[int], most: int) -> list[list[slice]]:
    """Return slices of every axis whose products have `most` elements at most: whole along the last axes."""
    blocks = []
    for size in reversed(sizes):
        blocks.append(_runs(size, most))
        most //= size
    return blocks[::-1]


def _runs(size: int, most: int) -> list[slice]:
    """Return slices that cover `size`, even, and of length `most` at most if that is not 0."""
    count = -(-size // max(1, most))
    length = -(-size // max(1, count))
    return [slice(start, min(start + length, size)) for start in range(0, size, max(1, length))]
