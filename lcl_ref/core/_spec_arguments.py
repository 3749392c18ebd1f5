"""Turning what a user types into the fields of a `Spec`; every problem becomes a `Violation` (SPEC clause 10).

Each function appends to `problems` instead of raising, so that one `SpecError` can name all of them.
"""

from __future__ import annotations

import difflib
import json
import operator
from collections.abc import Iterable, Mapping, Sized
from collections.abc import Set as AbstractSet
from typing import Any

from lcl_ref.core.axes import MAX_RANK, spatial_names
from lcl_ref.core.padding import PADDING_RULES, resolve
from lcl_ref.errors import SpecError, Violation

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
    """Return whether `value` is a bool of Python or NumPy, without importing NumPy."""
    return type(value).__name__ in ("bool", "bool_")


def is_sequence(value: Any) -> bool:
    """Return whether `value` lists per-axis entries; strings, mappings and sets, which have no order, do not."""
    if isinstance(value, str | bytes | bytearray | Mapping | AbstractSet) or getattr(value, "ndim", 1) == 0:
        return False
    return isinstance(value, Iterable) and isinstance(value, Sized)


def per_axis(problems: Problems, what: str, values: Any, rank: int, todo: str = "") -> list[Any]:
    """Return the entries of a list, which must be one per spatial axis."""
    if len(values) != rank:
        if any(problem.rule == "input_size/rank" for problem in problems):
            return list(values)[:rank]  # as input_size was cut: one broken rule, not two
        problems.append(
            Violation(
                f"{what}/length",
                what,
                f"{len(values)} entries {tuple(values)!r}",
                f"{rank}, one per spatial axis of input_size",
                todo=todo,
            )
        )
        return []
    return list(values)


def sizes(problems: Problems, what: str, value: Any, rank: int, least: int = 1) -> Sizes:
    """Return one integer of at least `least` per spatial axis."""
    if not is_sequence(value):
        return (as_int(problems, what, value, least),) * rank
    entries = per_axis(problems, what, value, rank)
    return tuple(
        as_int(problems, what, entry, least, axis) for entry, axis in zip(entries, spatial_names(rank), strict=False)
    )


def input_size(problems: Problems, value: Any) -> Sizes:
    """Return the spatial sizes; how many there are is the rank."""
    entries = tuple(value) if is_sequence(value) else (value,)
    if len(entries) > MAX_RANK:
        problems.append(Violation("input_size/rank", "input_size", f"{len(entries)} axes", f"at most {MAX_RANK}"))
        entries = entries[:MAX_RANK]
    return sizes(problems, "input_size", entries, len(entries))


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`; `SpecError` where there is none."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(Violation("json/syntax", "spec", str(error), "a JSON object")) from error
    if not isinstance(values, dict):
        raise SpecError(Violation("json/object", "spec", type(values).__name__, "a JSON object"))
    return values


def flags(problems: Problems, what: str, value: Any, rank: int) -> tuple[bool, ...]:
    """Return one bool per spatial axis; integers are refused."""
    if not is_sequence(value):
        return (_flag(problems, what, value),) * rank
    entries = per_axis(problems, what, value, rank)
    return tuple(_flag(problems, what, entry, axis) for entry, axis in zip(entries, spatial_names(rank), strict=False))


def _flag(problems: Problems, what: str, value: Any, axis: str = "") -> bool:
    if not _is_bool(value):
        problems.append(Violation(f"{what}/bool", what, f"{type(value).__name__} {value!r}", "True or False", axis))
        return False
    return bool(value)


def padding_pairs(problems: Problems, value: Any, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Pairs:
    """Return explicit ``(lo, hi)`` per axis from a name, an int, or one entry (name, int or pair) per axis."""
    rank = len(size)
    if is_sequence(value):
        todo = f"for one axis write padding=({tuple(value)!r},)" if rank == 1 else ""
        named = zip(per_axis(problems, "padding", value, rank, todo), spatial_names(rank), strict=False)
        entries = [_padding_entry(problems, entry, axis) for entry, axis in named]
    else:
        entries = [_padding_entry(problems, value)] * rank
    axes = zip(entries, size, kernel, stride, dilation, strict=False)
    return tuple(resolve(entry, *axis) if isinstance(entry, str) else entry for entry, *axis in axes)


def _padding_entry(problems: Problems, entry: Any, axis: str = "") -> str | tuple[int, int]:
    """Return the name of a rule or a pair; no padding in the place of what is neither."""
    if isinstance(entry, str):
        if entry in PADDING_RULES:
            return entry
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
