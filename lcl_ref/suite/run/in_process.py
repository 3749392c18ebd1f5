"""Cells asked and judged in this process: of the golden data, of checks, and of fresh layers."""

from __future__ import annotations

from collections.abc import Callable

from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.run.questions import Questions


class InProcess:
    """One layer, asked without a worker.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    store : Store
        Golden data.
    questions : Questions
        Tasks of its cases, and of fresh ones.
    seed : int
        For what checks draw.
    keep : callable, optional
        Called with every `Observation`, for a diagnosis.
    """

    def __init__(
        self,
        adapter: Adapter,
        store: Store,
        questions: Questions,
        seed: int,
        keep: Callable[[Observation], object] | None = None,
    ) -> None:
        self.adapter = adapter
        self.examiner = Examiner(adapter, store, seed, alone=False)
        self._evaluator, self._questions = Evaluator(adapter, keep=keep), questions

    def judge(self, cell: Cell) -> Outcome:
        """Return the outcome of a cell; nothing a layer raises escapes."""
        if cell.case in CHECKS:
            return self.examiner.judge(cell)
        return self._evaluator.judge_task(cell, self._questions.task(cell.case, cell.dtype))
