"""What a product of a layer runs over, as slices: strips of rows, parts of the batch, tiles of positions.

`torch_route` chooses their sizes. A plan is made once per layer, product, batch size and kind of operands, and kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lcl_ref.core.padding import window_extent
from lcl_ref.layers.engines.torch_geometry import Index
from lcl_ref.layers.engines.torch_route import Route, limits_of, route_of, route_of_spec, wide
from lcl_ref.layers.engines.torch_thresholds import Thresholds

PLANS_KEPT = 256
"""So many plans are remembered: three per layer in training, and three more for the last, shorter batch."""

Product = Literal["output", "input_gradient", "weight_gradient"]

ALL = slice(None)


class Operands(NamedTuple):
    """What a plan depends on beside the layer: samples, dtypes, and whether the input has its memory in order."""

    batch: int
    dtype: torch.dtype
    weight_dtype: torch.dtype
    contiguous: bool

    @property
    def wide(self) -> torch.dtype:
        """The dtype that sums are kept in."""
        return wide(self.dtype)


class Strip(NamedTuple):
    """A layer of its own: some positions along the first axis, and the sites they see."""

    route: Route
    sites: slice
    positions: slice


class Chunk(NamedTuple):
    """Some samples of a strip: what is laid out at a time.

    Attributes
    ----------
    route : Route
        Of the strip as a layer of its own.
    input, output, weight : tuple of slice
        Where the chunk lies in x, in y and in the weight.
    positions : slice
        Its positions along the first axis.
    in_place : bool
        Whether the input serves as it lies.
    runs, weight_runs : list of list of slice
        Where its tiles lie along each axis, of the positions and of the weight.
    """

    route: Route
    input: Index
    output: Index
    weight: Index
    positions: slice
    in_place: bool
    runs: list[list[slice]]
    weight_runs: list[list[slice]]

    def tiles(self) -> Iterator[tuple[Index, Index]]:
        """Yield where each tile lies among the positions, and where in the weight."""
        return zip(itertools.product(*self.runs), itertools.product(*self.weight_runs), strict=True)


class Plan(NamedTuple):
    """What a product runs over.

    `wide` is the dtype that sums are kept in. `adds` says that chunks, or positions that share weights, add up in the
    result.
    """

    route: Route
    wide: torch.dtype
    adds: bool
    chunks: list[Chunk]


def plan_of(layer: str, product: Product, data: Tensor, weight_dtype: torch.dtype) -> Plan:
    """Return the plan of one product: `data` is x, or dy for the gradient of the input."""
    contiguous = product == "input_gradient" or data.is_contiguous()  # that gradient is new, and so in order
    operands = Operands(data.shape[0], data.dtype, weight_dtype, contiguous)
    return _plan(layer, product, operands, limits_of(layer))


@lru_cache(PLANS_KEPT)
def _plan(layer: str, product: Product, operands: Operands, limits: Thresholds) -> Plan:
    made, batch = product == "input_gradient", operands.batch
    route = route_of_spec(route_of(layer).spec, limits, sums_many=made and batch >= limits.thin)
    size, weight_bytes = operands.wide.itemsize, math.prod(route.spec.weight_shape) * operands.weight_dtype.itemsize
    in_place = _in_place(route, operands, whole=True)
    strips = strips_of(route, 0 if in_place else route.strip_rows(batch, size, weight_bytes))
    parts = _slices(batch, batch if in_place else strips[0].route.part_samples(batch, size, weight_bytes))
    adds = len(strips) > 1 if made else bool(route.tied) or len(parts) != 1
    if product == "weight_gradient" and adds:  # then it is kept in the dtype of sums
        operands = operands._replace(weight_dtype=wide(operands.weight_dtype))
    chunks = []
    for strip, part in itertools.product(strips, parts):
        alone = len(strips) == 1 or part.stop - part.start == 1
        direct = _in_place(strip.route, operands, whole=alone) and not (made and adds)
        chunks.append(_chunk(strip, part, operands, direct=direct, made=made))
    return Plan(route, operands.wide, adds, chunks)


def _in_place(route: Route, operands: Operands, *, whole: bool) -> bool:
    """Return whether an input, or all sites of some of its samples, serves as it lies."""
    in_order = operands.contiguous and operands.dtype == operands.wide and whole
    return in_order and route.as_given and not route.batch_last


def _chunk(strip: Strip, samples: slice, operands: Operands, *, direct: bool, made: bool) -> Chunk:
    """Return some samples of a strip."""
    route, weights, size = strip.route, operands.weight_dtype, operands.wide.itemsize
    weight_bytes, copied = math.prod(route.spec.weight_shape) * weights.itemsize, weights != operands.wide
    lengths = route.tile_lengths(samples.stop - samples.start, size, weight_bytes, copied=copied, made=made)
    runs = list(map(_slices, route.spec.output_size, lengths))
    shared = route.spec.shared
    return Chunk(
        route=route,
        input=(samples, strip.sites),
        output=(samples, strip.positions),
        weight=tuple(ALL if tied else strip.positions for tied in shared[:1]),
        positions=strip.positions,
        in_place=direct,
        runs=runs,
        weight_runs=[[ALL] * len(run) if tied else run for run, tied in zip(runs, shared, strict=True)],
    )


@lru_cache(PLANS_KEPT)
def strips_of(route: Route, rows: int) -> list[Strip]:
    """Return strips of so many rows of positions; one if that is 0, or if a strip saw nothing but padding."""
    whole = [Strip(route, ALL, ALL)]
    if rows == 0:
        return whole
    strips = [_strip(route, run) for run in _slices(route.spec.output_size[0], rows)]
    seeing = [strip for strip in strips if strip is not None]
    return seeing if len(seeing) == len(strips) > 1 else whole


def _strip(route: Route, positions: slice) -> Strip | None:
    """Return the strip of some rows of positions; None if all they see is padding."""
    spec, (lo, _) = route.spec, route.spec.padding[0]
    start = positions.start * spec.stride[0]
    stop = (positions.stop - 1) * spec.stride[0] + window_extent(spec.kernel_size[0], spec.dilation[0])
    sites = slice(max(0, start - lo), min(spec.input_size[0], stop - lo))
    if sites.start >= sites.stop:
        return None
    size = (sites.stop - sites.start, *spec.input_size[1:])
    padding = ((max(0, lo - start), max(0, stop - lo - spec.input_size[0])), *spec.padding[1:])
    return Strip(route.of(replace(spec, input_size=size, padding=padding)), sites, positions)


def _slices(size: int, length: int) -> list[slice]:
    """Return slices of a length that cover `size`."""
    return [slice(start, min(start + length, size)) for start in range(0, size, max(1, length))]
