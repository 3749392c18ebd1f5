"""Turning what a user types into the fields of a `Spec`; every problem becomes a `Violation` (SPEC clause 10).

Each function appends to `problems` instead of raising, so that one `SpecError` can name all of them.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Mapping, Sized
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from lcl_ref.core.axes import spatial_names
from lcl_ref.core.padding import PADDING_RULES, resolve
from lcl_ref.errors import Violation

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Problems = list[Violation]

BIAS_KINDS = ("none", "channel", "position")


def _index(value: Any) -> int:
    """Return `operator.index`, which accepts bool and some versions of NumPy's bool, without them."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        raise TypeError
    return operator.index(value)


def as_int(problems: Problems, what: str, value: Any, least: int, axis: str = "") -> int:
    """Return `value` as an int of at least `least`; bools, floats and strings are refused."""
    try:
        number = _index(value)
    except TypeError:
        problems.append(Violation(f"{what}/integer", what, f"{type(value).__name__} {value!r}", "an integer", axis))
        return least
    if number < least:
        problems.append(Violation(f"{what}/at-least-{least}", what, str(number), f"at least {least}", axis))
        return least
    return number


def _is_bool(value: Any) -> bool:
    """Tell a Python or NumPy bool, without importing NumPy."""
    return type(value).__name__ in ("bool", "bool_")


def is_sequence(value: Any) -> bool:
    """Tell whether `value` is a list of per-axis entries; strings, mappings and sets, which have no order, are not."""
    if isinstance(value, str | bytes | bytearray | Mapping | AbstractSet) or getattr(value, "ndim", 1) == 0:
        return False
    return isinstance(value, Iterable) and isinstance(value, Sized)


def per_axis(problems: Problems, what: str, value: Any, rank: int, todo: str = "") -> list[Any]:
    """Return one entry per spatial axis: a scalar is repeated, a sequence must have `rank` entries."""
    if not is_sequence(value):
        return [value] * rank
    if len(value) != rank:
        if any(problem.rule == "input_size/rank" for problem in problems):
            return list(value)[:rank]  # as input_size was cut: one broken rule, not two
        problems.append(
            Violation(
                f"{what}/length",
                what,
                f"{len(value)} entries {tuple(value)!r}",
                f"{rank}, one per spatial axis of input_size",
                todo=todo,
            )
        )
        return []
    return list(value)


def sizes(problems: Problems, what: str, value: Any, rank: int, least: int = 1) -> Sizes:
    """Return one integer of at least `least` per spatial axis."""
    if not is_sequence(value):
        return (as_int(problems, what, value, least),) * rank
    entries = per_axis(problems, what, value, rank)
    return tuple(
        as_int(problems, what, entry, least, axis) for entry, axis in zip(entries, spatial_names(rank), strict=False)
    )


def flags(problems: Problems, what: str, value: Any, rank: int) -> tuple[bool, ...]:
    """Return one bool per spatial axis; integers are refused."""
    before = len(problems)
    entries = per_axis(problems, what, value, rank)
    for axis, entry in zip(spatial_names(rank), entries, strict=False):
        if not _is_bool(entry):
            got = f"{type(entry).__name__} {entry!r}"
            problems.append(Violation(f"{what}/bool", what, got, "True or False", axis))
    _report_scalar_once(problems, value, before)
    return tuple(bool(entry) for entry in entries)


def padding_pairs(problems: Problems, value: Any, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Pairs:
    """Return explicit ``(lo, hi)`` per axis from a name, an int, or one entry (name, int or pair) per axis."""
    rank = len(size)
    todo = f"for one axis write padding=({tuple(value)!r},)" if is_sequence(value) and rank == 1 else ""
    before = len(problems)
    entries = per_axis(problems, "padding", value, rank, todo)
    pairs = tuple(
        _axis_padding(problems, entry, axis, geometry)
        for entry, axis, *geometry in zip(entries, spatial_names(rank), size, kernel, stride, dilation, strict=False)
    )
    _report_scalar_once(problems, value, before)
    return pairs


def _report_scalar_once(problems: Problems, value: Any, before: int) -> None:
    """Keep one of the problems noted since `before` where one scalar was repeated on every axis."""
    if not is_sequence(value) and len(problems) > before:
        problems[before:] = [replace(problems[before], axis="")]


def _axis_padding(problems: Problems, entry: Any, axis: str, geometry: list[int]) -> tuple[int, int]:
    if isinstance(entry, str):
        if entry in PADDING_RULES:
            return resolve(entry, *geometry)
        problems.append(Violation("padding/name", "padding", repr(entry), _known_names(), axis, _name_hint(entry)))
        return 0, 0
    if is_sequence(entry):
        if len(entry) == 2:
            lo, hi = (as_int(problems, "padding", side, 0, axis) for side in entry)
            return lo, hi
        problems.append(Violation("padding/pair", "padding", repr(entry), "a pair (lo, hi)", axis))
        return 0, 0
    both = as_int(problems, "padding", entry, 0, axis)
    return both, both


def _known_names() -> str:
    return "one of " + ", ".join(PADDING_RULES)


def _name_hint(name: str) -> str:
    if name.lower() == "same":
        return "frameworks differ: TF, JAX, Keras Conv use same_upper; tf_keras LocallyConnected same_keras_local"
    nearest = difflib.get_close_matches(name.lower(), PADDING_RULES, 1)
    return f"did you mean {nearest[0]!r}?" if nearest else ""
