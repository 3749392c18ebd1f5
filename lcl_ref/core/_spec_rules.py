"""The rules that tie several fields of a `Spec` together: windows, groups, connection table (SPEC clauses 1, 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_ref.core import _spec_arguments
from lcl_ref.core._spec_arguments import Problems
from lcl_ref.core.axes import spatial_names
from lcl_ref.core.padding import window_extent
from lcl_ref.errors import Violation

if TYPE_CHECKING:
    from lcl_ref.core.spec import Spec

GEOMETRY = ("input_size", "kernel_size", "stride", "padding", "dilation")
CHANNELS = ("in_channels", "out_channels", "groups")


def _named(problems: Problems, names: tuple[str, ...]) -> bool:
    """Tell whether a field of `names` is already at fault, so that rules built on it are not reported on top."""
    return any(problem.what in names for problem in problems)


def positions_along(spec: Spec, axis: int) -> int:
    """Return the output size of `axis` (SPEC 1.2); below 1 where no window fits."""
    lo, hi = spec.padding[axis]
    window = window_extent(spec.kernel_size[axis], spec.dilation[axis])
    return (spec.input_size[axis] + lo + hi - window) // spec.stride[axis] + 1


def output_arithmetic(spec: Spec, axis: int) -> str:
    """Return the output size of `axis` as a worked formula, for messages and `lcl explain`."""
    lo, hi = spec.padding[axis]
    size, kernel = spec.input_size[axis], spec.kernel_size[axis]
    step, spread = spec.stride[axis], spec.dilation[axis]
    return f"{positions_along(spec, axis)} = floor(({size} + {lo} + {hi} - {spread}*({kernel} - 1) - 1) / {step}) + 1"


def check_windows(problems: Problems, spec: Spec) -> None:
    """Check that every axis holds a window (SPEC 1.3), once the fields of the geometry are well formed."""
    if _named(problems, GEOMETRY):
        return
    for axis, name in enumerate(spatial_names(spec.rank)):
        if positions_along(spec, axis) < 1:
            got = f"output size {output_arithmetic(spec, axis)}"
            todo = "the window is larger than the padded input: pad more, or take fewer taps or less dilation"
            problems.append(Violation("output_size/positive", "output_size", got, "at least 1", name, todo))


def check_channels(problems: Problems, spec: Spec) -> None:
    """Check that groups divide both channel counts, or that the connection table is well formed (SPEC 4.2, 4.3)."""
    if _named(problems, CHANNELS):
        return
    if spec.channel_table is not None:
        _check_table(problems, spec)
        return
    for what in ("in_channels", "out_channels"):
        count = getattr(spec, what)
        if count % spec.groups:
            got = f"{count} with groups={spec.groups}"
            expected = f"a multiple of groups ({count} = {count // spec.groups}*{spec.groups} + {count % spec.groups})"
            problems.append(Violation(f"{what}/divisible", what, got, expected))


def _check_table(problems: Problems, spec: Spec) -> None:
    table: Any = spec.channel_table
    if spec.groups != 1:
        problems.append(Violation("channel_table/groups", "groups", str(spec.groups), "1 beside a channel_table"))
    if not _spec_arguments.is_sequence(table) or not all(map(_spec_arguments.is_sequence, table)):
        problems.append(
            Violation("channel_table/rows", "channel_table", repr(table), "one list of channels per out_channel")
        )
        return
    widths = sorted({len(row) for row in table})
    if len(table) != spec.out_channels or len(widths) != 1 or widths[0] < 1:
        got = f"{len(table)} rows of {widths} channels"
        expected = f"{spec.out_channels} rows (out_channels) of one equal width, at least 1"
        problems.append(Violation("channel_table/shape", "channel_table", got, expected))
    for f, row in enumerate(table):
        _check_row(problems, spec.in_channels, list(row), f"co={f}")


def _check_row(problems: Problems, in_channels: int, row: list[Any], name: str) -> None:
    before = len(problems)
    channels = [_spec_arguments.as_int(problems, "channel_table", entry, 0, name) for entry in row]
    if len(problems) > before:
        return
    if any(channel >= in_channels for channel in channels):
        expected = f"channels below in_channels={in_channels}"
        problems.append(Violation("channel_table/range", "channel_table", str(channels), expected, name))
    if len(set(channels)) != len(channels):
        problems.append(Violation("channel_table/repeat", "channel_table", str(channels), "each channel once", name))
