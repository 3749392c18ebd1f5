"""Judging what a layer answered, in whatever process; and asking and judging one after the other in the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.ask import Asker, Reply
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Agreement, Expected, Malformed, Mismatch, check, same_numbers
from lcl_ref.suite.judge.observation import Observation, Verdict, verdict_of
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.judge.tasks import Task, load_task

Array = NDArray[Any]
Declared = Mapping[str, str]
"""Accumulation formats as a layer declares them (`Capabilities.accumulation`)."""


def judged(cell: Cell, task: Task, reply: Reply, declared: Declared) -> Outcome:
    """Return the outcome of one cell by what the layer answered."""
    return outcome(cell, seconds=reply.seconds, **(dict(reply.end) or _facts(cell.op, task, reply, declared)))


def _facts(op: str, task: Task, reply: Reply, declared: Declared) -> dict[str, Any]:
    for name, again in reply.again.items():
        if not same_numbers(reply.answers[name], again):
            text = f"nondeterministic: {name} differs between two calls with the same input"
            return {"state": "fail", "message": text}
    accumulation = accumulation_of(task.dtype, op, declared)
    try:
        agreements = [
            _compared(task, expected, reply.answers[expected.result]) for expected in task.expected(op, accumulation)
        ]
    except Mismatch as mismatch:
        facts = {"state": "fail", "message": str(mismatch), "error_ratio": mismatch.error_ratio}
        return facts | ({"diagnosis": mismatch.name} if mismatch.name else {})
    except Malformed as malformed:
        return {"state": "error", "message": str(malformed), "error_kind": "malformed"}
    return {
        "state": "pass",
        "error_ratio": max((agreement.error_ratio for agreement in agreements), default=0.0),
        "message": "; ".join(text for one in agreements for text in (one.warning, one.bias) if text),
    }


def _compared(task: Task, expected: Expected, got: Array) -> Agreement:
    """Check one answer; where it is wrong or beyond the warning line, say what explains it."""
    try:
        agreement = check(expected, got)
    except Mismatch as mismatch:
        name, cause = task.cause(expected, got)
        if not cause:
            raise
        raise Mismatch(expected.result, f"{cause}; {mismatch}", mismatch.error_ratio, name) from None
    if agreement.warning and not task.exact:
        cause = task.reduced_precision(expected, got) or "reduced precision?"
        return replace(agreement, warning=f"{cause}; {agreement.warning}")
    return agreement


def observed(found: Outcome, task: Task, reply: Reply, declared: Declared) -> Observation:
    """Return the first answers to a question with what their numbers alone deserve."""
    verdict: Verdict
    if found.state == "pass":
        verdict, message = "pass", ""
    elif found.state == "unsupported":
        verdict, message = "unsupported", found.message
    elif reply.answers:
        verdict, message = verdict_of(task, found.op, reply.answers, declared)
    else:
        verdict, message = "error", reply.raised
    return Observation(found.case, found.op, task, verdict, reply.answers, message)


class Evaluator:
    """Asks and judges cells of one adapter in this process.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    store : Store, optional
        Golden data; not needed for tasks that are not in it.
    keep : callable, optional
        Called with every `Observation`, for a diagnosis.
    twice : bool
        Whether each question is asked twice, to see that the answer is the same.
    """

    def __init__(
        self,
        adapter: Adapter,
        store: Store | None = None,
        keep: Callable[[Observation], object] | None = None,
        *,
        twice: bool = True,
    ) -> None:
        self.adapter, self.store, self._keep = adapter, store, keep
        self._asker = Asker(adapter, twice=twice)
        self._task: Task | None = None
        self._key: tuple[str, str] | None = None

    def judge(self, cell: Cell) -> Outcome:
        """Return the outcome of one cell of the golden data; nothing a layer raises escapes."""
        if self._task is None or self._key != (cell.case, cell.dtype):
            assert self.store is not None
            self._task, self._key = load_task(self.store, cell.case, cell.dtype), (cell.case, cell.dtype)
        return self.judge_task(cell, self._task)

    def judge_task(self, cell: Cell, task: Task) -> Outcome:
        """Return the outcome of one operation of a task, which need not be in the golden data."""
        reply = self._asker.ask(cell.op, task)
        declared = self.adapter.declaration.capabilities.accumulation
        found = judged(cell, task, reply, declared)
        if self._keep is not None:
            self._keep(observed(found, task, reply, declared))
        return found
