"""The rules that tie several fields of a `Spec` together: windows, groups, connection table (SPEC clauses 1, 4).

They read the fields by name, before there is a `Spec`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lcl_ref.core import _spec_arguments
from lcl_ref.core._spec_arguments import Problems
from lcl_ref.core.axes import spatial_names
from lcl_ref.core.padding import output_arithmetic, output_size
from lcl_ref.errors import SpecError, Violation

GEOMETRY = ("input_size", "kernel_size", "stride", "padding", "dilation")
"""Fields with an entry per spatial axis, in the order in which `output_size` takes them."""

CHANNELS = ("in_channels", "out_channels", "groups")
REQUIRED = ("input_size", "in_channels", "out_channels", "kernel_size")

FRAMEWORKS_WORDS = {
    "filters": "out_channels",
    "features": "out_channels",
    "dilation_rate": "dilation",
    "use_bias": "bias",
    "input_shape": "input_size",
    "feature_group_count": "groups",
}
"""Word of Keras or Flax -> argument of a `Spec`, where they are not alike."""


def _named(problems: Problems, names: tuple[str, ...]) -> bool:
    """Return whether a field of `names` is already at fault, so that rules built on it are not reported on top."""
    return any(problem.what in names for problem in problems)


def check_names(fields: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse fields that are unknown or missing, all in one `SpecError`."""
    problems = unknown_names(fields, names)
    problems += [
        Violation("fields/missing", "spec", f"no {name}", "all of " + ", ".join(REQUIRED))
        for name in REQUIRED
        if name not in fields
    ]
    if problems:
        raise SpecError(problems)


def unknown_names(given: Iterable[str], names: Sequence[str]) -> Problems:
    """Return a violation for each name that no argument has, with the one that is meant."""
    problems = []
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(FRAMEWORKS_WORDS.get(name, name), names, 1)
            todo = f"did you mean {near[0]!r}?" if near else ""
            problems.append(Violation("fields/unknown", "spec", name, "one of " + ", ".join(names), todo=todo))
    return problems


def check_bias(problems: Problems, bias: Any) -> None:
    """Check that the kind of bias is one of those there are (SPEC 3.3)."""
    if not isinstance(bias, str) or bias not in _spec_arguments.BIAS_KINDS:
        problems.append(Violation("bias/name", "bias", repr(bias), f"one of {_spec_arguments.BIAS_KINDS}"))


def check_windows(problems: Problems, fields: Mapping[str, Any]) -> None:
    """Check that every axis holds a window (SPEC 1.3), once the fields of the geometry are well formed."""
    if _named(problems, GEOMETRY):
        return
    axes = list(zip(*(fields[name] for name in GEOMETRY), strict=True))
    for name, axis in zip(spatial_names(len(axes)), axes, strict=True):
        if output_size(*axis) < 1:
            got = f"output size {output_arithmetic(*axis)}"
            todo = "the window is larger than the padded input: pad more, or take fewer taps or less dilation"
            problems.append(Violation("output_size/positive", "output_size", got, "at least 1", name, todo))


def check_channels(problems: Problems, fields: Mapping[str, Any]) -> None:
    """Check that groups divide both channel counts, or that the connection table is well formed (SPEC 4.2, 4.3)."""
    if _named(problems, CHANNELS):
        return
    if fields["channel_table"] is not None:
        _check_table(problems, fields)
        return
    groups = fields["groups"]
    for what in ("in_channels", "out_channels"):
        count = fields[what]
        if count % groups:
            got = f"{count} with groups={groups}"
            expected = f"a multiple of groups ({count} = {count // groups}*{groups} + {count % groups})"
            problems.append(Violation(f"{what}/divisible", what, got, expected))


def _check_table(problems: Problems, fields: Mapping[str, Any]) -> None:
    table, groups, out_channels = fields["channel_table"], fields["groups"], fields["out_channels"]
    if groups != 1:
        problems.append(Violation("channel_table/groups", "groups", str(groups), "1 beside a channel_table"))
    if not _spec_arguments.is_sequence(table) or not all(map(_spec_arguments.is_sequence, table)):
        problems.append(
            Violation("channel_table/rows", "channel_table", repr(table), "one list of channels per out_channel")
        )
        return
    widths = sorted({len(row) for row in table})
    if len(table) != out_channels or len(widths) != 1 or widths[0] < 1:
        got = f"{len(table)} rows of {widths} channels"
        expected = f"{out_channels} rows (out_channels) of one equal width, at least 1"
        problems.append(Violation("channel_table/shape", "channel_table", got, expected))
    for f, row in enumerate(table):
        _check_row(problems, fields["in_channels"], list(row), f"co={f}")


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
