"""Geometry as the fused kernels read it: tables of flat indices, so that one kernel serves every layer.

Positions are counted by `own` (those with weights of their own, flat) and `tied` (those that share them, flat). Every
kernel is a batch of matrix products whose left factor is gathered by these tables, straight from where it lies.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables, tiling

NOWHERE = -1
"""Stands in a table where there is nothing to read."""

TABLES_KEPT = 64
"""So many layers keep their tables: as many numbers as a layer has pairs of a position and a tap."""


SMALLEST, LARGEST = 16, 64
"""Lengths of a block: matrix units want so many rows and columns, and so many fit the registers of a program."""

INTERPRETED = 1 << 18
"""So many numbers of a factor an interpreter takes at a time."""

TILES = 64
"""In so many tiles at most an interpreter cuts a length."""

LONG = TILES * LARGEST
"""To here an interpreter's blocks are those of a card; more products than this, or longer ones, would take minutes."""


class Blocks(NamedTuple):
    """How much a program takes at a time: products, and rows, inner numbers and columns of each."""

    together: int
    rows: int
    inner: int
    columns: int


def blocks_of(total: int, rows: int, inner: int, columns: int, *, interpreted: bool) -> Blocks:
    """Return the blocks of `total` products ``(rows, inner) @ (inner, columns)``.

    A program makes one product, whole; in an interpreter, which pays for every operation, several. There, long products
    have longer blocks, and those of which there are very many are not filled up to `SMALLEST`.

    Examples
    --------
    >>> blocks_of(5, 100, 20, 3, interpreted=False)
    Blocks(together=1, rows=64, inner=32, columns=16)
    >>> blocks_of(1, 65536, 20, 3, interpreted=True)
    Blocks(together=1, rows=1024, inner=32, columns=16)
    """
    smallest = 1 if interpreted and total > LONG else SMALLEST

    def block(length: int) -> int:
        largest = max(LARGEST, _power_of_two(-(-length // TILES))) if interpreted else LARGEST
        return min(largest, max(smallest, _power_of_two(length)))

    rows, inner, columns = block(rows), block(inner), block(columns)
    most = max(1, INTERPRETED // max(rows * inner, inner * columns, rows * columns)) if interpreted else 1
    return Blocks(min(most, _power_of_two(total)), rows, inner, columns)


def _power_of_two(length: int) -> int:
    return 1 << max(length - 1, 0).bit_length()


class Sizes(NamedTuple):
    """Numbers of a layer without its batch."""

    sites: int
    positions: int
    own: int
    tied: int
    taps: int
    groups: int
    in_channels: int
    out_channels: int
    group_channels: int
    width: int


class Forward(NamedTuple):
    """What the output and the gradient of the weight read.

    Attributes
    ----------
    sites : numpy.ndarray
        ``(own, tied, taps)``: the flat input site of a tap, or `NOWHERE` for padding.
    positions : numpy.ndarray
        ``(own, tied)``: the flat position.
    channels : numpy.ndarray
        ``(groups, cg)``: the input channel.
    """

    sites: Any
    positions: Any
    channels: Any


class Backward(NamedTuple):
    """What the gradient of the input reads: for each input number, the outputs that have read it.

    The gradient is gathered too: nothing is added from several programs at once, so that sums have one order.

    Attributes
    ----------
    positions, kernels : numpy.ndarray
        ``(sites, readers)``: the flat position that reads a site, and ``own * taps + tap`` of its weight.
    outputs, weights : numpy.ndarray
        ``(blocks, outputs)``: the output channel that reads a block of input channels, and the weight channel of the
        first of them. A block is a group, or with a connection table one input channel.
    width : int
        Input channels of a block.
    """

    positions: Any
    kernels: Any
    outputs: Any
    weights: Any
    width: int


@lru_cache(TABLES_KEPT)
def sizes(spec: Spec) -> Sizes:
    """Return the numbers of a layer."""
    own = math.prod(spec.weight_size)
    return Sizes(
        sites=math.prod(spec.input_size),
        positions=math.prod(spec.output_size),
        own=own,
        tied=math.prod(spec.output_size) // own,
        taps=math.prod(spec.kernel_size),
        groups=index_tables.groups(spec),
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        group_channels=spec.group_channels,
        width=index_tables.width(spec),
    )


@lru_cache(TABLES_KEPT)
def forward(spec: Spec) -> Forward:
    """Return the tables of the output and of the gradient of the weight."""
    size = sizes(spec)
    positions = _positions(spec)
    seen = index_tables.sites(spec)
    sites = np.where(seen == size.sites, NOWHERE, seen).astype(np.int32)[positions]
    order = index_tables.gathered(spec)
    channels = np.arange(spec.in_channels, dtype=np.int32) if order is None else order
    return Forward(sites, positions, channels.reshape(size.groups, size.group_channels))


@lru_cache(TABLES_KEPT)
def backward(spec: Spec) -> Backward:
    """Return the tables of the gradient of the input."""
    size, tables = sizes(spec), forward(spec)
    own, tied, tap = np.nonzero(tables.sites != NOWHERE)
    of_site = tables.sites[own, tied, tap]
    positions, kernels = _by_key(of_site, size.sites, tables.positions[own, tied], own * size.taps + tap)
    if spec.channel_table is None:
        outputs = np.arange(size.out_channels, dtype=np.int32).reshape(size.groups, size.width)
        return Backward(positions, kernels, outputs, np.zeros_like(outputs), size.group_channels)
    output, channel = np.indices(spec.channels.shape).reshape(2, -1)
    outputs, weights = _by_key(spec.channels.reshape(-1), size.in_channels, output, channel)
    return Backward(positions, kernels, outputs, weights, 1)


def _positions(spec: Spec) -> Any:
    """Return the flat positions as ``(own, tied)``."""
    flat = np.arange(math.prod(spec.output_size), dtype=np.int32).reshape(spec.output_size)
    return flat.transpose([*tiling.own(spec), *tiling.tied(spec)]).reshape(math.prod(spec.weight_size), -1)


def _by_key(keys: Any, count: int, *values: Any) -> list[Any]:
    """Return each of `values` as ``(count, most)``: row `k` holds those whose key is k, then `NOWHERE`."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    most = int(rank.max(initial=0)) + 1
    tables = []
    for value in values:
        table = np.full((count, most), NOWHERE, np.int32)
        table[ordered, rank] = value[order]
        tables.append(table)
    return tables
