"""Layers drawn at random, of the kinds that people write: plain settings come often, and all of them together.

`Style` says which kind of each setting; whoever chooses (a frozen generator, or hypothesis) is a `Chooser`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from lcl_ref.core.padding import PADDING_RULES
from lcl_ref.core.spec import Spec
from lcl_ref.errors import SpecError
from lcl_ref.suite.golden import values

T = TypeVar("T")

LONGEST_AXIS = {1: 40, 2: 15, 3: 7}
"""Rank -> the longest axis of an input, unless a window asks for more."""

WIDE = (16, 17, 32, 33, 64)
"""Channel counts at which vector paths of kernels begin and end."""

PROBES = 800

LARGEST_WEIGHT = 30_000
LARGEST_TENSOR = 20_000


class Chooser(Protocol):
    """Makes the choices of a draw."""

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""

    def integer(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`."""


class Stream:
    """Choices from the raw numbers of a key, as the operands of the golden data are drawn."""

    def __init__(self, name: str) -> None:
        self._numbers = iter(values.raw(name, "layer", (512,)).tolist())

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[int(next(self._numbers)) % len(options)]

    def integer(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`."""
        return low + int(next(self._numbers)) % (high - low + 1)


Styles = Mapping[str, tuple[Any, ...]]

STYLES: Styles = {
    "rank": (1, 2, 2, 2, 0, 3),
    "kernel": ("equal", "equal", "any", "any", "input"),
    "stride": ("one", "one", "one", "equal", "any", "kernel"),
    "dilation": ("one", "one", "one", "equal", "any"),
    "padding": ("none", "none", "equal", "symmetric", "symmetric", "pairs", "rule"),
    "channels": ("ungrouped", "ungrouped", "ungrouped", "same", "same", "groups", "depthwise", "table"),
    "width": ("few", "few", "few", "few", "wide"),
    "sharing": ("none", "none", "none", "none", "all", "some"),
    "bias": ("none", "position", "position", "channel"),
}
"""Setting -> its kinds, simple ones first, and those that are common more than once."""


@dataclass(frozen=True)
class Style:
    """The kind of each setting of a layer; fields as the keys of `STYLES`."""

    rank: int
    kernel: str
    stride: str
    dilation: str
    padding: str
    channels: str
    width: str
    sharing: str
    bias: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def drawn_style(choose: Chooser, styles: Styles = STYLES) -> Style:
    """Draw the kind of every setting."""
    return Style(**{name: choose.pick(options) for name, options in styles.items()})


def probing_styles() -> Iterator[tuple[Style, Spec]]:
    """Yield drawn layers with their styles, always the same, to find out which styles a layer supports."""
    for number in range(PROBES):
        stream = Stream(f"probe/{number}")
        style = drawn_style(stream)
        spec = drawn_spec(style, stream)
        if spec is not None:
            yield style, spec


def drawn_spec(style: Style, choose: Chooser) -> Spec | None:
    """Draw a layer of a style; None where it would be too large, or none."""
    kernel = _kernel(style, choose)
    axes = range(style.rank)
    dilation = _per_axis(style.dilation, style.rank, choose, 3)
    padding = _padding(style, choose)
    if style.stride == "kernel":
        sizes, stride = [choose.integer(1, 4) * taps for taps in kernel], kernel
        padding, dilation = [(0, 0)] * style.rank, [1] * style.rank
    else:
        stride = _per_axis(style.stride, style.rank, choose, 3)
        sizes = [_size(style, choose, (kernel[axis] - 1) * dilation[axis] + 1, padding[axis]) for axis in axes]
    if style.kernel == "input":
        kernel, padding, dilation = sizes, [(0, 0)] * style.rank, [1] * style.rank
    arguments: dict[str, Any] = {
        "input_size": sizes,
        "kernel_size": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
    }
    arguments |= _channels(style, choose) | {"shared": _shared(style, choose), "bias": style.bias}
    try:
        spec = Spec(**arguments)
    except SpecError:
        return None
    largest = max(math.prod(spec.x_shape(1)), math.prod(spec.y_shape(1)))
    return spec if math.prod(spec.weight_shape) <= LARGEST_WEIGHT and largest <= LARGEST_TENSOR else None


def _kernel(style: Style, choose: Chooser) -> list[int]:
    most = {1: 7, 2: 5, 3: 3}.get(style.rank, 1)
    if style.kernel == "any":
        return [choose.integer(1, most) for _ in range(style.rank)]
    return [choose.integer(1, most)] * style.rank


def _per_axis(kind: str, rank: int, choose: Chooser, most: int) -> list[int]:
    if kind == "one":
        return [1] * rank
    return [choose.integer(2, most)] * rank if kind == "equal" else [choose.integer(1, most) for _ in range(rank)]


def _padding(style: Style, choose: Chooser) -> list[Any]:
    if style.padding == "none":
        return [(0, 0)] * style.rank
    if style.padding == "equal":
        return [(width := choose.integer(1, 3), width)] * style.rank
    if style.padding == "symmetric":
        return [(width, width) for width in (choose.integer(0, 3) for _ in range(style.rank))]
    if style.padding == "pairs":
        return [(choose.integer(0, 3), choose.integer(0, 3)) for _ in range(style.rank)]
    return [choose.pick(list(PADDING_RULES))] * style.rank


def _size(style: Style, choose: Chooser, span: int, padding: Any) -> int:
    """Return the length of an axis on which there is room for a window."""
    low = span if isinstance(padding, str) else max(1, span - sum(padding))
    return choose.integer(low, max(low, LONGEST_AXIS[style.rank]))


def _channels(style: Style, choose: Chooser) -> dict[str, Any]:
    def count(most: int = 9) -> int:
        return choose.pick(WIDE) if style.width == "wide" else choose.integer(1, most)

    if style.channels == "same":
        return dict.fromkeys(("in_channels", "out_channels"), count())
    if style.channels == "groups":
        groups = choose.integer(2, 4)
        return {"in_channels": groups * choose.integer(1, 4), "out_channels": groups * count(4), "groups": groups}
    if style.channels == "depthwise":
        channels = count()
        return {"in_channels": channels, "out_channels": channels * choose.integer(1, 3), "groups": channels}
    if style.channels == "table":
        channels, width = choose.integer(2, 6), choose.integer(1, 2)
        rows = [choose.integer(0, channels - 1) for _ in range(choose.integer(2, 6))]
        table = [[(row + step) % channels for step in range(width)] for row in rows]
        return {"in_channels": channels, "out_channels": len(rows), "channel_table": table}
    return {"in_channels": count(), "out_channels": count()}


def _shared(style: Style, choose: Chooser) -> list[bool]:
    if style.sharing == "some":
        return [choose.pick((False, True)) for _ in range(style.rank)]
    return [style.sharing == "all"] * style.rank
