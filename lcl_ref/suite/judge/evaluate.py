"""Asking one layer one question and judging the answer; runs inside the worker process of a backend."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from lcl_ref.suite.adapter import Adapter, Prepared, Unsupported
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.ask import Arrays, answers_of
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Agreement, Expected, Malformed, Mismatch, check, same_numbers
from lcl_ref.suite.judge.observation import Observation, Verdict, verdict_of
from lcl_ref.suite.judge.outcome import Cell, Fault, NotRun, Outcome, outcome
from lcl_ref.suite.judge.tasks import Task, load_task

Array = NDArray[Any]


class Changed(Exception):  # noqa: N818 -- a finding about a layer
    """A layer that changes its inputs, or its mind."""


class Evaluator:
    """Judges cells of one adapter, keeping the last prepared layer for the operations that follow on it.

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
        self.adapter, self.store, self._keep, self._twice = adapter, store, keep, twice
        self._task: Task | None = None
        self._key: tuple[str, str] | None = None
        self._layer: Prepared | None = None
        self._answers: Arrays = {}

    def judge(self, cell: Cell) -> Outcome:
        """Return the outcome of one cell of the golden data; nothing a layer raises escapes."""
        if self._task is None or self._key != (cell.case, cell.dtype):
            assert self.store is not None
            self._task, self._layer = load_task(self.store, cell.case, cell.dtype), None
            self._key = cell.case, cell.dtype
        return self._judged(cell, self._task)

    def judge_task(self, cell: Cell, task: Task) -> Outcome:
        """Return the outcome of one operation of a task that is not in the golden data."""
        if self._task is not task:
            self._task, self._layer, self._key = task, None, None
        return self._judged(cell, task)

    def _judged(self, cell: Cell, task: Task) -> Outcome:
        began, raised, self._answers = time.perf_counter(), "", {}
        try:
            facts = self._answer(cell, task)
        except Exception as error:  # noqa: BLE001 -- the layer under test may raise anything
            facts, raised = finding(error), " ".join(f"{type(error).__name__}: {error}".split())
        found = outcome(cell, seconds=time.perf_counter() - began, **facts)
        if self._keep is not None:
            self._keep(self._observation(found, task, raised))
        return found

    def _observation(self, found: Outcome, task: Task, raised: str) -> Observation:
        """Return the first answers to a question with what their numbers alone deserve."""
        verdict: Verdict
        if found.state == "pass":
            verdict, message = "pass", ""
        elif found.state == "unsupported":
            verdict, message = "unsupported", found.message
        elif self._answers:
            declared = self.adapter.declaration.capabilities.accumulation
            verdict, message = verdict_of(task, found.op, self._answers, declared)
        else:
            verdict, message = "error", raised
        return Observation(found.case, found.op, task, verdict, self._answers, message)

    def _answer(self, cell: Cell, task: Task) -> dict[str, Any]:
        """Ask the layer unless it declares that it cannot, and return the facts of a pass."""
        capabilities = self.adapter.declaration.capabilities
        reason = capabilities.refusal(task.spec, cell.dtype, cell.op, task.tags)
        if reason is not None:
            return {"state": "unsupported", "message": reason}
        agreements = self._ask(cell.op, task)
        return {
            "state": "pass",
            "error_ratio": max((agreement.error_ratio for agreement in agreements), default=0.0),
            "message": "; ".join(agreement.warning for agreement in agreements if agreement.warning),
        }

    def _ask(self, op: str, task: Task) -> list[Agreement]:
        """Prepare the layer where needed, call it on copies of the operands, and judge its answers."""
        given = {name: operand.copy() for name, operand in task.operands.items()}
        if self._layer is None:
            self._layer = self.adapter.prepare(task.spec, given["weight"], given.get("bias"), task.dtype)
        declared = self.adapter.declaration.capabilities.accumulation
        accumulation = accumulation_of(task.dtype, op, declared)
        answers = {name: array.copy() for name, array in answers_of(self._layer, op, given).items()}
        self._answers = answers
        for name, operand in given.items():
            if operand.tobytes() != task.operands[name].tobytes():
                raise Changed(f"mutating: {op} wrote into its input {name}")
        if self._twice:
            _same_again(answers, answers_of(self._layer, op, given))
        return [_compared(task, expected, answers[expected.result]) for expected in task.expected(op, accumulation)]


def _compared(task: Task, expected: Expected, got: Array) -> Agreement:
    """Check one answer; where it is wrong or beyond the warning line, say what explains it."""
    try:
        agreement = check(expected, got)
    except Mismatch as mismatch:
        cause = task.cause(expected, got)
        if not cause:
            raise
        raise Mismatch(expected.result, f"{cause}; {mismatch}", mismatch.error_ratio) from None
    if agreement.warning and not task.exact:
        cause = task.reduced_precision(expected, got) or "reduced precision?"
        return Agreement(agreement.error_ratio, f"{cause}; {agreement.warning}")
    return agreement


def _same_again(answers: Arrays, again: Arrays) -> None:
    """Refuse a layer that answers the same question differently."""
    for name, answer in answers.items():
        if not same_numbers(answer, again[name]):
            raise Changed(f"nondeterministic: {name} differs between two calls with the same input")


def finding(error: Exception) -> dict[str, Any]:
    """Return the facts of an outcome that is not a pass."""
    if isinstance(error, Mismatch | Changed):
        return {"state": "fail", "message": str(error), "error_ratio": getattr(error, "error_ratio", None)}
    if isinstance(error, Unsupported):
        return {"state": "unsupported", "message": str(error)}
    if isinstance(error, Malformed):
        return {"state": "error", "message": str(error), "error_kind": "malformed"}
    if isinstance(error, Fault):
        return {"state": "error", "message": str(error), "error_kind": error.kind}
    if isinstance(error, NotRun):
        return {"state": "not_run", "message": str(error)}
    return {"state": "error", "message": _last_words(error), "error_kind": "exception"}


def _last_words(error: BaseException) -> str:
    """Return the exception and the place in the layer's own code where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
