"""The task of a cell, wherever it comes from: the golden data, or a draw."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.tasks import Task, load_task
from lcl_ref.suite.run.drawn_cases import existing, is_fresh

MOST_KEPT = 256
"""More tasks than the core tier has."""


class Questions:
    """Tasks by case and dtype, the last one kept for the operations that follow on it.

    Parameters
    ----------
    store : Store
        Golden data.
    answered : bool
        Whether tasks come with their right results.
    """

    def __init__(self, store: Store, *, answered: bool = True) -> None:
        self._store, self._answered = store, answered
        self._key: tuple[str, str] | None = None
        self._task: Task | None = None

    def task(self, case: str, dtype: str) -> Task:
        """Return the task of a case in a dtype."""
        if self._task is None or self._key != (case, dtype):
            self._task, self._key = self._made(case, dtype), (case, dtype)
        return self._task

    def _made(self, case: str, dtype: str) -> Task:
        if is_fresh(case):
            return existing(case).task(dtype, answered=self._answered)
        task = load_task(self._store, case, dtype)
        return task if self._answered else replace(task, golden={})


class KeptQuestions(Questions):
    """Tasks of which many are kept, for layer after layer that is asked the same."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._kept = lru_cache(MOST_KEPT)(self._made)

    def task(self, case: str, dtype: str) -> Task:
        """Return the task of a case in a dtype, the same object as before."""
        return self._kept(case, dtype)
