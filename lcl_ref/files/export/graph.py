"""A layer in operations that every format of graphs has, channels last.

A window is a slice per tap of the padded input; all windows of a position meet its weights in one batched product.
Neighbouring axes of positions are one axis where all or none of them are shared: formats for small devices take few.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

import numpy as np

from lcl_ref.core.spec import Spec


class Operations(Protocol):
    """What a format offers; arrays are its own, -1 in a shape is the batch."""

    def gather(self, x: Any, table: Sequence[int], axis: int) -> Any:
        """Return the channels that a table names."""

    def pad(self, x: Any, pairs: Sequence[Sequence[int]]) -> Any:
        """Return x with zeros, ``(before, behind)`` of every axis."""

    def slices(self, x: Any, parts: Sequence[slice]) -> Any:
        """Return a part of the axes behind the first, up to the last."""

    def concatenate(self, parts: Sequence[Any], axis: int) -> Any:
        """Return arrays behind each other."""

    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        """Return x in another shape."""

    def transpose(self, x: Any, order: Sequence[int]) -> Any:
        """Return x with its axes in another order."""

    def product(self, left: Any, right: Any) -> Any:
        """Return the product of matrices, with axes of stacks before them that are 1 or alike."""

    def add(self, left: Any, right: Any) -> Any:
        """Return a sum."""


def answer(ops: Operations, spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` and canonical weight and bias."""
    runs = _runs(spec)
    count = len(runs)
    product = ops.product(_windows(ops, spec, x, [size for size, _ in runs]), _weights(ops, spec, weight, runs))
    moved = ops.transpose(product, [count + 1, *range(count), count, count + 2])
    y = ops.reshape(moved, [-1, *spec.output_size, spec.out_channels])
    return y if bias is None else ops.add(y, bias)


def _runs(spec: Spec) -> list[tuple[int, bool]]:
    """Return positions, and whether they share a weight, of the axes of positions in runs of one kind."""
    axes = zip(spec.output_size, spec.shared, strict=True)
    return [(math.prod(size for size, _ in run), shared) for shared, run in itertools.groupby(axes, itemgetter(1))]


def _groups(spec: Spec) -> tuple[int, int]:
    """Return groups and channels of one; a connection table is a group per output."""
    return (spec.out_channels if spec.channel_table else spec.groups), spec.group_channels


def _windows(ops: Operations, spec: Spec, x: Any, sizes: Sequence[int]) -> Any:
    """Return ``(runs, g, n, taps * cg)``."""
    groups, channels = _groups(spec)
    if spec.channel_table:
        x = ops.gather(x, list(itertools.chain.from_iterable(spec.channel_table)), spec.rank + 1)
    if any(map(any, spec.padding)):
        x = ops.pad(x, [(0, 0), *spec.padding, (0, 0)])
    whole = [-1, *sizes, 1, groups * channels]
    taps = [ops.reshape(ops.slices(x, _tap(spec, tap)), whole) for tap in np.ndindex(*spec.kernel_size)]
    count = len(sizes)
    split = ops.reshape(ops.concatenate(taps, count + 1), [-1, *sizes, len(taps), groups, channels])
    moved = ops.transpose(split, [*range(1, count + 1), count + 2, 0, count + 1, count + 3])
    return ops.reshape(moved, [*sizes, groups, -1, len(taps) * channels])


def _tap(spec: Spec, tap: Sequence[int]) -> list[slice]:
    """Return where one tap of all windows is, along the spatial axes."""
    starts = [k * spread for k, spread in zip(tap, spec.dilation, strict=True)]
    steps = zip(starts, spec.output_size, spec.stride, strict=True)
    return [slice(start, start + (positions - 1) * step + 1, step) for start, positions, step in steps]


def _weights(ops: Operations, spec: Spec, weight: Any, runs: Sequence[tuple[int, bool]]) -> Any:
    """Return ``(runs, g, taps * cg, p)``, 1 along shared runs."""
    groups, channels = _groups(spec)
    sizes, count = [1 if shared else size for size, shared in runs], len(runs)
    flat = math.prod(spec.kernel_size) * channels
    split = ops.reshape(weight, [*sizes, flat, groups, spec.out_channels // groups])
    return ops.transpose(split, [*range(count), count + 1, count, count + 2])
