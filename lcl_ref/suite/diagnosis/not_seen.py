"""Which known deviations a run could not have seen: those that could be in the layer, and that nothing it asked shows.

What each case shows is in `kills.json`, written by ``lcl mutants --table`` and compared by ``lcl mutants``. For fresh
cases it is computed, for the smallest of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.suite.diagnosis.deviations import CATALOGUE, Deviation, Refused, results
from lcl_ref.suite.diagnosis.deviations.deviation import touches
from lcl_ref.suite.judge.observation import rejected
from lcl_ref.suite.judge.tasks import Task
from lcl_ref.suite.run.drawn_cases import DrawnCase

FORMAT = "lcl-kills/1"
FILE = Path(__file__).with_name("kills.json")

EXACT_IN = "float64"
"""The dtype in which every drawn operand gives exact sums."""

SPECS = 40
"""How many layers are kept with their answers."""

TRIED = 4
"""On how many of the smallest cells that a deviation changes it is tried before it counts as impossible there."""

FRESH_TRIED = 12
"""How many fresh cases are tried on deviations in one run."""

FREE_FORM = ("precision", "nonfinite", "behaviour")
"""Kinds of deviations that whole numbers do not show; they can be in any layer."""

Killers = Mapping[tuple[str, str], frozenset[str]]
"""Deviation and operation -> the cases that show it."""


def table(cases: Sequence[str], killers: Killers) -> dict[str, Any]:
    """Return which case shows which deviation as JSON-ready values: per operation, a bit for each case in its place."""
    place = {case: number for number, case in enumerate(cases)}
    kills: dict[str, dict[str, str]] = {}
    for (deviation, op), seen in sorted(killers.items()):
        kills.setdefault(deviation, {})[op] = f"{sum(1 << place[case] for case in seen):x}"
    return {"format": FORMAT, "cases": list(cases), "kills": kills}


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return facts


def stored_cases() -> list[str]:
    """Return the cases that the table that comes with the suite is about."""
    cases: list[str] = _facts()["cases"]
    return cases


@cache
def stored() -> Killers:
    """Return the table that comes with the suite."""
    facts = _facts()
    return {
        (deviation, op): frozenset(case for place, case in enumerate(facts["cases"]) if int(bits, 16) >> place & 1)
        for deviation, ops in facts["kills"].items()
        for op, bits in ops.items()
    }


@dataclass(frozen=True)
class Asked:
    """What a layer was asked.

    Parameters
    ----------
    cells : set of (case, op)
        Cells of the golden data that were answered, rightly or wrongly.
    layers : sequence of (Spec, batch)
        Their layers.
    fresh : sequence of DrawnCase
        Fresh cases that were answered.
    ops : set of str
        Operations that were answered.
    """

    cells: frozenset[tuple[str, str]]
    layers: Sequence[tuple[Spec, int]]
    fresh: Sequence[DrawnCase]
    ops: frozenset[str]


def not_seen(asked: Asked, fresh_tried: int = FRESH_TRIED) -> list[str]:
    """Return the ids of the deviations that could be in the layer, and that nothing it was asked shows."""
    left = [one for one in CATALOGUE if not asked.ops.isdisjoint(one.ops) and not _shown(one, asked.cells)]
    for case in sorted(asked.fresh, key=_size_of)[:fresh_tried]:
        task = case.task(EXACT_IN)
        left = [one for one in left if not any(_shows(case, task, one, op) for op in asked.ops)]
    drawn = {(case.spec, case.batch) for case in asked.fresh}
    layers = [DrawnCase(f"looked-at/{number}", *layer) for number, layer in enumerate({*asked.layers, *drawn})]
    layers.sort(key=_size_of)
    return [one.id for one in left if one.kind in FREE_FORM or _differs(one, layers, asked.ops)]


def _size_of(case: DrawnCase) -> int:
    return case.spec.connection_count


def _shown(deviation: Deviation, cells: frozenset[tuple[str, str]]) -> bool:
    return any((case, op) in cells for op in deviation.ops for case in stored().get((deviation.id, op), ()))


def _differs(deviation: Deviation, layers: Iterable[DrawnCase], ops: Iterable[str]) -> bool:
    """Return whether a layer with this deviation differs from one of these, asked with drawn operands."""
    changed = [(case, op) for case in layers for op in ops if touches(case.spec, case.batch, deviation, op)]
    return any(_shows(case, _task(case), deviation, op) for case, op in changed[:TRIED])


@lru_cache(SPECS)
def _task(case: DrawnCase) -> Task:
    return case.task(EXACT_IN)


def _shows(case: DrawnCase, task: Task, deviation: Deviation, op: str) -> bool:
    if deviation.edit is None or not touches(case.spec, case.batch, deviation, op):
        return False
    try:
        return rejected(task, op, results(case.spec, task.operands, (deviation,), op))
    except Refused:
        return True
