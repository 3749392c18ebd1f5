"""Geometry as tables of flat indices, in NumPy; shared by the engines and adapters of every framework but NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec

PRODUCT = "n...kgc,...kcgf->n...gf"
"""Windows ``(n, o*, K, g, cg)`` times `grouped` weights; the ellipsis, the position axes, broadcasts shared ones."""


def sites(spec: Spec) -> Any:
    """Return ``(P, K)``: the input site that tap k of position p reads, one past the last where it lies in the padding.

    Positions, taps and input sites are each flattened in C order; at rank 0 there is one of each.
    """
    axes = 2 * spec.rank
    flat, inside = np.zeros((1,) * axes, np.int32), np.ones((1,) * axes, bool)
    for axis, size in enumerate(spec.input_size):
        position = _along(np.arange(spec.output_size[axis]), axis, axes)
        tap = _along(np.arange(spec.kernel_size[axis]), spec.rank + axis, axes)
        site = position * spec.stride[axis] + tap * spec.dilation[axis] - spec.padding[axis][0]
        flat, inside = flat * size + site, inside & (site >= 0) & (site < size)
    table = np.where(inside, flat, math.prod(spec.input_size)).astype(np.int32)
    return table.reshape(math.prod(spec.output_size), math.prod(spec.kernel_size))


def _along(values: Any, axis: int, axes: int) -> Any:
    """Return `values` laid along one of `axes` axes, the others of size 1."""
    return values.reshape([-1 if number == axis else 1 for number in range(axes)])


def reads_padding(spec: Spec, table: Any) -> bool:
    """Return whether any tap of `sites` lies in the padding."""
    return bool((table == math.prod(spec.input_size)).any())


def groups(spec: Spec) -> int:
    """Return the number of groups after gathering: a connection table makes every output channel its own group."""
    return spec.groups if spec.channel_table is None else spec.out_channels


def width(spec: Spec) -> int:
    """Return the output channels of a group, co/g."""
    return spec.out_channels // groups(spec)


def gathered(spec: Spec) -> Any:
    """Return the input channels in the order the groups read them, or None where that is their own order."""
    return None if spec.channel_table is None else spec.channels.reshape(-1).astype(np.int32)


def windows_shape(spec: Spec, batch: int) -> tuple[int, ...]:
    """``(n, o*, K, g, cg)``."""
    return (batch, *spec.output_size, math.prod(spec.kernel_size), groups(spec), spec.group_channels)


def grouped(spec: Spec, weight: Any) -> Any:
    """``(o*, k*, cg, co) -> (o*, K, cg, g, co/g)``, with 1 along shared position axes."""
    taps = math.prod(spec.kernel_size)
    return weight.reshape(*spec.weight_size, taps, spec.group_channels, groups(spec), width(spec))
