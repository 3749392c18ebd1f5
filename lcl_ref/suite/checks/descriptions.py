"""Checks of programs that build layers from what users write: names of padding, defaults, refusals (SPEC 2, 10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lcl_ref.suite.adapter import Unsupported
from lcl_ref.suite.checks.subject import Deviates, Subject
from lcl_ref.suite.checks.variants import Asked

LISTED = 3
"""Questions that a message names."""

Described = Mapping[str, Any]


def resolved(subject: Subject, _layers: Sequence[Asked], _op: str) -> None:
    """Ask for the pairs of every layer of the catalogue that names a rule of padding, or leaves axes or fields out."""
    from lcl_ref.suite.cases.catalogue import CASES  # noqa: PLC0415 -- 0.2 s that only programs need

    describe, wrong, asked = describer(subject), [], 0
    can = subject.adapter.declaration.capabilities
    for case in CASES:
        if case.topic == "sizes" or can.refusal(case.spec, can.dtypes[0], can.ops[0]) is not None:
            continue
        answer = describe(_plain(case.written))
        asked += 1
        if "refused" in answer:
            wrong.append(f"{case.id}: refused ({answer['refused']})")
        elif differing := _differing(answer["spec"], case.spec.to_dict()):
            wrong.append(f"{case.id}: {differing}")
    if not asked:
        raise Unsupported("no layer of the catalogue")
    _require(wrong, asked, "layers are described wrongly")


def refused(subject: Subject, _layers: Sequence[Asked], _op: str) -> None:
    """Ask about every layer that has to be refused, but those that JSON readers of some languages cannot tell."""
    from lcl_ref.suite.cases.catalogue import REFUSALS  # noqa: PLC0415 -- as above

    describe = describer(subject)
    entries = [one for one in REFUSALS if one.arrays is None and not _whole_float(one.arguments)]
    wrong = [f"{one.id}: {one.rule}" for one in entries if "refused" not in describe(_plain(one.arguments))]
    _require(wrong, len(entries), "layers that cannot exist are not refused")


def describer(subject: Subject, _layers: Sequence[Asked] = ()) -> Callable[[Described], Described]:
    """Return what describes layers.

    Raises
    ------
    Unsupported
        If the layer is no program.
    """
    describe = getattr(subject.adapter, "describe", None)
    if describe is None:
        raise Unsupported("layers are described by the suite; only programs do it themselves")
    asked: Callable[[Described], Described] = describe
    return asked


def _require(wrong: Sequence[str], asked: int, what: str) -> None:
    if wrong:
        more = f"; and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise Deviates(f"{len(wrong)} of {asked} {what}: {'; '.join(wrong[:LISTED])}{more}")


def _differing(got: Described, want: Described) -> str:
    """Return the first field that differs."""
    fields = (name for name in {**want, **got} if _plain(got.get(name)) != _plain(want.get(name)))
    return next((f"{name}: got {_plain(got.get(name))}, expected {_plain(want.get(name))}" for name in fields), "")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def _whole_float(value: Any) -> bool:
    return re.search(r"\d\.0\b", repr(value)) is not None
