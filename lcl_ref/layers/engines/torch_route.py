"""Which way a layer is computed in torch: the one place where that is chosen, by the table of `torch_thresholds`.

=======================================  ==============================  ===========================================
layer                                    input                           windows
=======================================  ==============================  ===========================================
windows that overlap                     read as it lies                 a copy of one tile of positions
the same, of few numbers side by side    copied once, with batch last    a copy of one tile of positions
the same, each one run of memory (1-D)   read as it lies                 views of the input
kernel of size 1                         read as it lies                 views of the input
windows side by side along several axes  read as it lies                 a copy of one tile of positions
block-diagonal, kernel of the input      one operation of torch's own, and torch's own derivatives of it
small in all, of any kind                a few operations of torch's own on all windows at once, and their derivatives
=======================================  ==============================  ===========================================

With the batch last, a window of all samples is a few long runs of memory, and so is whatever is done to it. A tile
holds as many positions as there is room for, whole rows of positions if any. What windows of a tile share along the
first axis is copied once (`Route.rows_overlap`). An input with padding, or of another order or dtype, is laid out
first, a large one in strips of rows. Matrices with few rows or columns are multiplied the other way round.

Here everything is a number or a yes or no. `torch_plan` makes slices of the numbers, and keeps them; the other modules
follow them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

import torch

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import torch_thresholds
from lcl_ref.layers.engines.accelerators.plans import Plan, plan_of, without_plan
from lcl_ref.layers.engines.torch_geometry import Geometry, inverse, rows_overlap, side_by_side
from lcl_ref.layers.engines.torch_thresholds import Thresholds

ROUTES_KEPT = 1024
"""So many layers, strips of layers among them, whose routes are remembered."""


class Way(Enum):
    """How a layer is computed as a whole."""

    ONE_PRODUCT = "one product of torch's, of a layer with one position that sees all of the input"
    AT_ONCE = "a few operations of torch's, on all windows at once"
    BY_TILES = "a tile of positions at a time"


class Route(Geometry):
    """The geometry of a layer, and what is chosen for it by that geometry.

    Parameters
    ----------
    spec : Spec
        The layer.
    limits : Thresholds
        What the choices depend on.
    sums_many : bool
        Whether windows of many samples are to be added up.

    Attributes
    ----------
    batch_last : bool
        Whether the input is copied with the batch last, or read as it lies.
    rows_overlap : bool
        Whether windows of a tile are views of one copy of the rows that they share along the first axis.
    few_outputs, few_inputs : bool
        Whether matrices are thin in outputs, or in inputs.
    one_product : bool
        Whether the layer is one product of matrices per group, the input as it is given.
    windows_are_views : bool
        Whether windows of any run of positions are a view, so that none is held.
    rows_order, rows_inverse : tuple of int
        How the axes of rows ``(sites, o*, g, k*, cg, n)``, ``o*`` and ``k*`` without the first, lie in their copy, and
        the way back.
    """

    def __init__(self, spec: Spec, limits: Thresholds, sums_many: bool) -> None:
        super().__init__(spec)
        self._limits, self._sums_many = limits, sums_many
        short = limits.short_sum if sums_many else limits.short_run
        windows = math.prod(spec.output_size) * spec.fan_in * self.groups
        self._windows, self._outputs = windows, math.prod(spec.output_size) * spec.out_channels
        repeats = windows > limits.repeats * math.prod(self.padded_layout)
        self.batch_last = repeats and not self.in_runs and side_by_side(spec) < short
        strides = limits.overlapping_rows_batch_last if self.batch_last else limits.overlapping_rows
        self.rows_overlap = not self.in_runs and rows_overlap(spec, strides)
        self.few_outputs, self.few_inputs = self.outputs < limits.thin, spec.fan_in < limits.thin
        self.one_product = self.sees_all and self.as_given and (spec.rank == 0 or self.groups == 1)
        self.windows_are_views = spec.rank == 1 and self.groups == 1 and self.in_runs and not any(spec.shared)
        last, inner = [*self.tied, 2 * spec.rank + 1], [0, *range(spec.rank + 1, 2 * spec.rank + 1)]
        ends = [*inner, *last] if self.batch_last else [*last, *inner]
        self.rows_order = (*self.own[1:], spec.rank, *ends) if self.rows_overlap else ()
        self.rows_inverse = inverse(self.rows_order)

    def way(self, batch: int, dtype: torch.dtype) -> Way:
        """Return how the layer is computed for so many samples: what counts is the size of all windows, and of y."""
        windows, outputs = (batch * dtype.itemsize * count for count in (self._windows, self._outputs))
        if wide(dtype) != dtype:  # torch's own operations would add up gradients in the half type
            return Way.BY_TILES
        if self.one_product and max(windows, outputs) <= self._limits.part_bytes:
            return Way.ONE_PRODUCT
        return Way.AT_ONCE if max(windows, outputs // 2) <= self._limits.small_bytes else Way.BY_TILES

    def of(self, spec: Spec) -> Route:
        """Return the route of a part of this layer, chosen likewise."""
        return route_of_spec(spec, self._limits, sums_many=self._sums_many)

    def strip_rows(self, batch: int, itemsize: int, weight_bytes: int) -> int:
        """Return the rows of positions of one strip, whose laid-out input keeps to the working memory; 0 for all."""
        row, spec = batch * itemsize * math.prod(self.padded_layout[1:]), self.spec
        room = self._part_room(weight_bytes)
        if spec.rank == 0 or row * self.padded_layout[0] <= room:
            return 0
        extent = window_extent(spec.kernel_size[0], spec.dilation[0])
        return even(spec.output_size[0], (room // row - extent) // spec.stride[0] + 1)

    def part_samples(self, batch: int, itemsize: int, weight_bytes: int) -> int:
        """Return the samples that are laid out at a time: fewer than all where one row of positions is too large."""
        return even(batch, self._part_room(weight_bytes) // (math.prod(self.padded_layout) * itemsize))

    def _part_room(self, weight_bytes: int) -> int:
        return max(self._limits.part_bytes, weight_bytes // self._limits.weights_per_part)

    def tile_lengths(self, batch: int, itemsize: int, weight_bytes: int, *, copied: bool, made: bool) -> list[int]:
        """Return how many positions a tile has along each axis: all along the last, some along one, one before it.

        Where rows overlap, that holds for the other axes, and a tile has as many rows as fit, or as a window sees.
        `copied` says that the weights of a tile are held, because they are converted. `made` says that windows are a
        result, which is held even where windows of the input would be views.
        """
        spec, limits = self.spec, self._limits
        inputs = 0 if self.windows_are_views and not made else batch * spec.fan_in * self.groups
        held = copied or self.groups > 1 or self.few_outputs
        beside = batch * spec.out_channels + held * spec.fan_in * spec.out_channels
        room = min(max(limits.tile_bytes, weight_bytes // limits.weights_per_tile), 2 * limits.tile_bytes) // itemsize
        if made or not self.rows_overlap:
            return _lengths(spec.output_size, room // (inputs + beside))
        (kernel, stride), columns = (spec.kernel_size[0], spec.stride[0]), math.prod(spec.output_size[1:])
        line = inputs // kernel
        fitting = (room // columns - line * (kernel - stride)) // (line * stride + beside)
        rows = even(spec.output_size[0], max(fitting, kernel // stride))
        column = line * ((rows - 1) * stride + kernel) + rows * beside
        if column > room:
            rows, column = 1, inputs + beside
        return [rows, *_lengths(spec.output_size[1:], room // column)]


@lru_cache(ROUTES_KEPT)
def route_of_spec(spec: Spec, limits: Thresholds, *, sums_many: bool = False) -> Route:
    """Return the route of a layer, as made before."""
    return Route(spec, limits, sums_many)


@lru_cache(ROUTES_KEPT)
def _route(layer: str, limits: Thresholds) -> Route:
    return route_of_spec(Spec.from_json(layer), limits)


def route_of(layer: str) -> Route:
    """Return the route of a layer, given as `Spec.to_json`, with or without a plan."""
    return _route(without_plan(layer), limits_of(layer))


def limits_of(layer: str) -> Thresholds:
    """Return the thresholds that the plan of a layer goes by."""
    return torch_thresholds.LARGE if plan_of(layer) is Plan.LARGE else torch_thresholds.THRESHOLDS


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that sums of numbers of a dtype are kept in."""
    return torch.float32 if dtype.itemsize == 2 else dtype


def even(size: int, most: int) -> int:
    """Return the length of the pieces that cover `size`, even, of length `most` at most if that is not 0."""
    count = -(-size // max(1, most))
    return -(-size // max(1, count))


def _lengths(sizes: Sequence[int], most: int) -> list[int]:
    """Return lengths along every axis whose product is `most` at most: all of the last axes."""
    lengths = []
    for size in reversed(sizes):
        lengths.append(even(size, most))
        most //= size
    return lengths[::-1]
