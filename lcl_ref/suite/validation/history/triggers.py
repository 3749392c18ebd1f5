"""Conditions on a layer, its batch and its format, such as ``groups = in_channels`` and ``in_channels % 8 = 0``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError, Violation

Measured = Mapping[str, int | str]

COMPARISONS: dict[str, Callable[[int | str, int | str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_CONDITION = re.compile(r"(\w+)(?: % (\d+))? (=|!=|<|<=|>|>=) (\w+)")


@lru_cache(maxsize=4096)
def measured(spec: Spec, batch: int) -> Measured:
    """Return what conditions may ask for; plain names are the largest over the axes, 1 (padding 0) at rank 0.

    A connection table counts as no groups.
    """
    sides = [side for pair in spec.padding for side in pair]
    positions = math.prod(spec.output_size)
    return {
        "rank": spec.rank,
        "batch": batch,
        "bias": spec.bias,
        "groups": spec.groups if spec.channel_table is None else 0,
        "in_channels": spec.in_channels,
        "out_channels": spec.out_channels,
        "in_per_group": spec.group_channels,
        "out_per_group": spec.out_channels // spec.groups,
        "fan_in": spec.fan_in,
        "taps": math.prod(spec.kernel_size),
        "kernel": max(spec.kernel_size, default=1),
        "shortest_kernel": min(spec.kernel_size, default=1),
        "kernels": len(set(spec.kernel_size)),
        "stride": max(spec.stride, default=1),
        "strides": len(set(spec.stride)),
        "dilation": max(spec.dilation, default=1),
        "dilations": len(set(spec.dilation)),
        "padding": max(sides, default=0),
        "paddings": len(set(spec.padding)),
        "uneven_padding": max((abs(lo - hi) for lo, hi in spec.padding), default=0),
        "shared_axes": sum(spec.shared),
        "axis": max(spec.input_size, default=1),
        "shortest_axis": min(spec.input_size, default=1),
        "axes": len(set(spec.input_size)),
        "sites": math.prod(spec.input_size),
        "positions": positions,
        "whole_axes": sum(1 < taps == size for taps, size in zip(spec.kernel_size, spec.input_size, strict=True)),
        "rows": batch * positions,
        "outputs": batch * positions * spec.out_channels,
        "unfolded": batch * positions * spec.fan_in * spec.groups,
    }


def holds(conditions: Sequence[str], spec: Spec, batch: int, dtype: str) -> bool:
    """Return whether all conditions hold.

    Raises
    ------
    LclError
        If one is none.
    """
    found = {**measured(spec, batch), "dtype": dtype}
    return all(_holds(condition, found) for condition in conditions)


def _holds(condition: str, found: Measured) -> bool:
    match = _CONDITION.fullmatch(condition)
    if match is None or match[1] not in found:
        raise LclError(Violation("history/condition", "when", repr(condition), f"a condition on {', '.join(found)}"))
    left = found[match[1]]
    right: int | str = int(match[4]) if match[4].isdigit() else found.get(match[4], match[4])
    if match[2] and isinstance(left, int):
        left %= int(match[2])
    return COMPARISONS[match[3]](left, right)
