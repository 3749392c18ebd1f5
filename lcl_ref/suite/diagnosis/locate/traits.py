"""What can be said of a question in a few words: settings that have an effect in it, and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.suite.judge.observation import Observation

Test = Callable[[Spec, int], bool]


def _dilated(spec: Spec) -> bool:
    return any(step > 1 and taps > 1 for step, taps in zip(spec.dilation, spec.kernel_size, strict=True))


def _extents(spec: Spec) -> list[int]:
    return list(map(window_extent, spec.kernel_size, spec.dilation))


def _each(test: Callable[[int, int], bool], which: Callable[[Any], bool]) -> Test:
    """Return whether `which` (any or all) axis has a stride and an extent of the window that fit."""
    return lambda spec, _: spec.rank > 0 and which(map(test, spec.stride, _extents(spec)))


def _differ(name: str) -> Test:
    return lambda spec, _: len(set(getattr(spec, name))) > 1


def _unread(spec: Spec) -> bool:
    """Return whether elements are left over at the end of an axis."""
    ends = zip(spec.input_size, spec.padding, _extents(spec), spec.stride, strict=True)
    return any((size + lo + hi - extent) % stride for size, (lo, hi), extent, stride in ends)


def _all_padding(spec: Spec) -> bool:
    """Return whether some window sees nothing of the input along an axis."""
    for axis, size in enumerate(spec.input_size):
        starts = np.arange(spec.output_size[axis])[:, None] * spec.stride[axis] - spec.padding[axis][0]
        sites = starts + np.arange(spec.kernel_size[axis]) * spec.dilation[axis]
        if not ((sites >= 0) & (sites < size)).any(axis=1).all():
            return True
    return False


def _positions(spec: Spec) -> int:
    return math.prod(spec.output_size)


def _taps(spec: Spec) -> int:
    return math.prod(spec.kernel_size)


SETTINGS: dict[str, Test] = {
    "bias = channel": lambda spec, _: spec.bias == "channel",
    "bias = position": lambda spec, _: spec.bias == "position",
    "bias = none": lambda spec, _: spec.bias == "none",
    "a bias": lambda spec, _: spec.bias != "none",
    "batch > 1": lambda _, batch: batch > 1,
    "batch = 1": lambda _, batch: batch == 1,
    "batch = 0": lambda _, batch: batch == 0,
    "groups > 1": lambda spec, _: spec.groups > 1,
    "a connection table": lambda spec, _: spec.channel_table is not None,
    "depthwise groups": lambda spec, _: 1 < spec.groups == spec.in_channels,
    "groups that are not depthwise": lambda spec, _: 1 < spec.groups < spec.in_channels,
    "groups or a table": lambda spec, _: spec.groups > 1 or spec.channel_table is not None,
    "neither groups nor a table": lambda spec, _: spec.groups == 1 and spec.channel_table is None,
    "dilation > 1": lambda spec, _: _dilated(spec),
    "dilation = 1": lambda spec, _: not _dilated(spec),
    "stride > 1": lambda spec, _: any(stride > 1 for stride in spec.stride),
    "stride = 1": lambda spec, _: all(stride == 1 for stride in spec.stride),
    "padding": lambda spec, _: any(map(any, spec.padding)),
    "no padding": lambda spec, _: not any(map(any, spec.padding)),
    "padding in front": lambda spec, _: any(lo for lo, _ in spec.padding),
    "padding behind": lambda spec, _: any(hi for _, hi in spec.padding),
    "padding with lo != hi": lambda spec, _: any(lo != hi for lo, hi in spec.padding),
    "padding with lo = hi on every axis": lambda spec, _: (
        any(map(any, spec.padding)) and all(lo == hi for lo, hi in spec.padding)
    ),
    "more padding in front than behind": lambda spec, _: any(lo > hi for lo, hi in spec.padding),
    "more padding behind than in front": lambda spec, _: any(lo < hi for lo, hi in spec.padding),
    "a window wholly in the padding": lambda spec, _: _all_padding(spec),
    "a shared axis": lambda spec, _: any(spec.shared),
    "every axis shared": lambda spec, _: spec.rank > 0 and all(spec.shared),
    "some axes shared and others not": lambda spec, _: len(set(spec.shared)) > 1,
    "no shared axis": lambda spec, _: not any(spec.shared),
    "rank = 0": lambda spec, _: spec.rank == 0,
    "rank = 1": lambda spec, _: spec.rank == 1,
    "rank = 2": lambda spec, _: spec.rank == 2,
    "rank = 3": lambda spec, _: spec.rank == 3,
    "rank > 0": lambda spec, _: spec.rank > 0,
    "rank > 1": lambda spec, _: spec.rank > 1,
    "more than one tap": lambda spec, _: _taps(spec) > 1,
    "one tap": lambda spec, _: _taps(spec) == 1,
    "more than one position": lambda spec, _: _positions(spec) > 1,
    "one position": lambda spec, _: _positions(spec) == 1,
    "a kernel of unequal axes": _differ("kernel_size"),
    "a kernel of equal axes": lambda spec, _: spec.rank > 1 and len(set(spec.kernel_size)) == 1,
    "strides that differ between axes": _differ("stride"),
    "dilations that differ between axes": _differ("dilation"),
    "paddings that differ between axes": _differ("padding"),
    "input axes of equal length": lambda spec, _: spec.rank > 1 and len(set(spec.input_size)) == 1,
    "windows that overlap": _each(lambda stride, extent: stride < extent, any),
    "windows that do not overlap": _each(lambda stride, extent: stride >= extent, all),
    "windows that tile": _each(lambda stride, extent: stride == extent, all),
    "gaps between windows": _each(lambda stride, extent: stride > extent, any),
    "elements left over at the end": lambda spec, _: _unread(spec),
    "an even kernel": lambda spec, _: any(taps % 2 == 0 for taps in spec.kernel_size),
    "an odd kernel": lambda spec, _: spec.rank > 0 and all(taps % 2 for taps in spec.kernel_size),
    "as many channels out as in": lambda spec, _: spec.in_channels == spec.out_channels,
    "other channels out than in": lambda spec, _: spec.in_channels != spec.out_channels,
    "more channels out than in": lambda spec, _: spec.out_channels > spec.in_channels,
    "fewer channels out than in": lambda spec, _: spec.out_channels < spec.in_channels,
    "one input channel": lambda spec, _: spec.in_channels == 1,
    "more than one input channel": lambda spec, _: spec.in_channels > 1,
    "one output channel": lambda spec, _: spec.out_channels == 1,
    "more than one output channel": lambda spec, _: spec.out_channels > 1,
    "more than one input channel to an output": lambda spec, _: spec.group_channels > 1,
}
"""In words -> whether a layer and its batch have it; of two that tell the same, the first is named."""

SIZES: dict[str, Callable[[Spec, int], int]] = {
    "input channels": lambda spec, _: spec.in_channels,
    "output channels": lambda spec, _: spec.out_channels,
    "channels to an output": lambda spec, _: spec.group_channels,
    "products to an output": lambda spec, _: spec.fan_in,
    "taps along an axis": lambda spec, _: max(spec.kernel_size, default=1),
    "elements along an axis": lambda spec, _: max(spec.input_size, default=1),
    "positions": lambda spec, _: _positions(spec),
    "samples": lambda _, batch: batch,
    "groups": lambda spec, _: spec.groups,
    "numbers in the weight": lambda spec, _: math.prod(spec.weight_shape),
    "zeros of padding on a side": lambda spec, _: max((max(pair) for pair in spec.padding), default=0),
}
"""In words -> a size of a layer and its batch."""

MULTIPLES = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Trait:
    """Something that some questions have.

    Parameters
    ----------
    words : str
        What.
    holds : array (questions,) of bool
        Which of them have it.
    """

    words: str
    holds: Any


def traits(questions: list[Observation], wrong: Any, *, sizes: bool) -> list[Trait]:
    """Return what can be said of the questions, `wrong` (questions,) of bool, and of the `sizes` of wrong ones."""
    given = [(seen.task.spec, seen.batch) for seen in questions]
    found = [Trait(words, np.array([test(*one) for one in given])) for words, test in SETTINGS.items()]
    found += _of_numbers(questions)
    for words, size in SIZES.items() if sizes else ():
        found += _of_size(words, np.array([size(*one) for one in given]), wrong)
    return found


def _of_numbers(questions: list[Observation]) -> list[Trait]:
    """Return the traits of operands: their dtype and kind."""
    kinds: Mapping[str, Callable[[Observation], bool]] = {
        "inf or NaN in x": lambda seen: "nonfinite" in seen.task.tags,
        "reals": lambda seen: not seen.task.exact,
        "whole numbers": lambda seen: seen.task.exact and "nonfinite" not in seen.task.tags,
    }
    found = [Trait(words, np.array([test(seen) for seen in questions])) for words, test in kinds.items()]
    names = dict.fromkeys(seen.task.dtype for seen in questions)
    found += [Trait(name, np.array([seen.task.dtype == name for seen in questions])) for name in names]
    halves = np.array([seen.task.dtype in ("float16", "bfloat16") for seen in questions])
    return [*found, Trait("a half dtype", halves)]


def _of_size(words: str, sizes: Any, wrong: Any) -> list[Trait]:
    """Return the traits of a size that all wrong answers have: from or up to a number, or a multiple."""
    least, most = int(sizes[wrong].min()), int(sizes[wrong].max())
    found = [Trait(f"{least} or more {words}", sizes >= least), Trait(f"at most {most} {words}", sizes <= most)]
    found += [Trait(f"a multiple of {step} {words}", sizes % step == 0) for step in reversed(MULTIPLES)]
    return [*found, *(Trait(f"no multiple of {step} {words}", sizes % step != 0) for step in MULTIPLES)]
