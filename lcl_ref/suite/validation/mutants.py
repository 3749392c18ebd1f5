"""The kill matrix: every deviation of the catalogue against every case and operation.

A case kills a deviation if the suite's own comparison rejects what a layer with that deviation returns. Where it does
not, the matrix says why: the edit changes nothing in this layer (``identical``), it provably changes nothing for any
operands (``equivalent``), or these operands do not show it (``blind``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from lcl_ref import api
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import deciding_dtypes, in_tier
from lcl_ref.suite.diagnosis.deviations import CATALOGUE, Deviation, Refused, results
from lcl_ref.suite.diagnosis.deviations.behaviours import WRAPPERS
from lcl_ref.suite.diagnosis.deviations.deviation import touches
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.observation import rejected
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import Task, cell_exists, load_task
from lcl_ref.suite.run.user_layer import FunctionLayer, UserAdapter
from lcl_ref.suite.validation.equivalence import equivalent

State = Literal["killed", "refused", "identical", "equivalent", "blind", "absent"]
STATES: tuple[State, ...] = get_args(State)
"""``refused``: such a layer could not run at all, which the suite reports as an error; ``absent``: no such cell."""

KILLS = ("killed", "refused")
FORMAT = "lcl-mutants/1"
PROMISED = {"smoke": 1, "core": 2}
"""Tier -> how many of its cases kill each deviation, in every operation in which any case does."""

LETTER: dict[str, str] = dict(zip(STATES, "KR.=b-", strict=True))


@dataclass(frozen=True)
class KillMatrix:
    """Which case sees which deviation.

    Parameters
    ----------
    deviations : tuple of Deviation
        Rows.
    cases : tuple of Case
        Columns.
    states : dict
        ``(deviation id, case id, op)`` -> one of `STATES`; absent cells are left out.
    """

    deviations: tuple[Deviation, ...]
    cases: tuple[Case, ...]
    states: Mapping[tuple[str, str, str], State]

    @cached_property
    def killers_by_op(self) -> dict[tuple[str, str], frozenset[str]]:
        """``(deviation, op)`` -> the cases that kill it in that operation, where any does."""
        found: dict[tuple[str, str], set[str]] = {}
        for (deviation, case, op), state in self.states.items():
            if state in KILLS:
                found.setdefault((deviation, op), set()).add(case)
        return {seen: frozenset(cases) for seen, cases in found.items()}

    @cached_property
    def killers(self) -> dict[str, frozenset[str]]:
        """Deviation -> the cases that kill it in at least one operation."""
        return {
            deviation.id: frozenset().union(*(self.killers_by_op.get((deviation.id, op), ()) for op in OPS))
            for deviation in self.deviations
        }

    def state(self, deviation: str, case: str) -> State:
        """Return what a case makes of a deviation over all operations: the strongest state."""
        return min((self.states.get((deviation, case, op), "absent") for op in OPS), key=STATES.index)

    def count(self, deviation: str, state: State) -> int:
        """Return for how many cases that is the strongest state."""
        return sum(self.state(deviation, case.id) == state for case in self.cases)

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix as JSON-ready values; a cell is one letter per operation, ``-`` where there is none."""
        letters = {
            deviation.id: {
                case.id: "".join(LETTER[self.states.get((deviation.id, case.id, op), "absent")] for op in OPS)
                for case in self.cases
            }
            for deviation in self.deviations
        }
        return {
            "format": FORMAT,
            "ops": list(OPS),
            "letters": LETTER,
            "deviations": [_facts(deviation) for deviation in self.deviations],
            "cases": [case.id for case in self.cases],
            "matrix": letters,
        }


def _facts(deviation: Deviation) -> dict[str, Any]:
    facts = {
        field: getattr(deviation, field) for field in ("id", "sentence", "clause", "fix", "needs", "known_in", "kind")
    }
    return facts | {"ops": list(deviation.ops)}


def kill_matrix(
    store: Store,
    cases: Sequence[Case] = CASES,
    deviations: Sequence[Deviation] = CATALOGUE,
    progress: Callable[[], object] = lambda: None,
) -> KillMatrix:
    """Try every deviation on every case of the golden data; `progress` is called after each case.

    Complex cases are left out: they are for mistakes of conjugation (SPEC 14.9), which
    `lcl_ref.suite.judge.conjugation` names. So are generated ones and those with operands of a kind of their own: they
    are for sizes and values, which no deviation depends on.
    """
    states: dict[tuple[str, str, str], State] = {}
    cases = [case for case in cases if case.id in store.entries and _for_deviations(case)]
    for case in cases:
        asked = _asked(store, case)
        for deviation in deviations:
            if deviation.edit is not None:
                states |= {(deviation.id, case.id, op): _state(deviation, case, op, asked[op]) for op in asked}
        progress()
    for deviation in deviations:
        if deviation.kind == "behaviour":
            states |= _behaviour_states(deviation, store, cases)
    return KillMatrix(
        tuple(deviations), tuple(cases), {cell: state for cell, state in states.items() if state != "absent"}
    )


def _for_deviations(case: Case) -> bool:
    return not (case.generated or case.operands or case.values == "complex")


def _asked(store: Store, case: Case) -> dict[str, list[Task]]:
    """Return the tasks of each operation, in the dtypes that the smoke tier asks too."""
    dtypes = deciding_dtypes(case.values)
    tasks = {dtype: load_task(store, case.id, dtype) for dtype in dtypes}
    entry = store.entries[case.id]
    asked = {op: [tasks[dtype] for dtype in dtypes if cell_exists(entry, op, dtype)] for op in OPS}
    return {op: found for op, found in asked.items() if found}


def _state(deviation: Deviation, case: Case, op: str, tasks: Sequence[Task]) -> State:
    if op not in deviation.ops:
        return "absent"
    spec = tasks[0].spec
    if not touches(spec, case.batch, deviation, op):
        return "identical"
    try:
        if any(rejected(task, op, results(spec, task.operands, (deviation,), op)) for task in tasks):
            return "killed"
    except Refused:
        return "refused"
    return "equivalent" if equivalent(spec, case.batch, deviation, op) else "blind"


def _behaviour_states(deviation: Deviation, store: Store, cases: Sequence[Case]) -> dict[tuple[str, str, str], State]:
    """Let the suite's evaluator judge a layer with that behaviour over all cases, in the order and dtypes of a run."""
    layer = FunctionLayer(WRAPPERS[deviation.id](api.forward))
    evaluator = Evaluator(UserAdapter(deviation.id, layer), store)
    states: dict[tuple[str, str, str], State] = {}
    for case in cases:
        cells = [
            Cell(deviation.id, case.id, "forward", dtype)
            for dtype in ("float32", "float64")
            if cell_exists(store.entries[case.id], "forward", dtype)
        ]
        with np.errstate(invalid="ignore"):
            wrong = [evaluator.judge(cell).state in ("fail", "error") for cell in cells]
        states[deviation.id, case.id, "forward"] = "killed" if any(wrong) else "blind"
    return states


def broken_promises(matrix: KillMatrix) -> list[str]:
    """Return which deviations no case sees, and which the smaller tiers see less often than `PROMISED`, a line each."""
    members = {tier: in_tier(tier) for tier in PROMISED}
    unseen = [f"{deviation}: killed by no case" for deviation, cases in matrix.killers.items() if not cases]
    return unseen + [
        f"{deviation}: {op} killed by {count} cases of the {tier} tier, promised {promised}"
        for tier, promised in PROMISED.items()
        for (deviation, op), cases in matrix.killers_by_op.items()
        if (count := len(cases.intersection(members[tier]))) < promised
    ]


def idle_cases(matrix: KillMatrix) -> list[Case]:
    """Return the cases that kill nothing."""
    busy = frozenset().union(*matrix.killers.values())
    return [case for case in matrix.cases if case.id not in busy]
