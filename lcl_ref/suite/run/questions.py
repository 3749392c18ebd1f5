"""The task of a cell, wherever it comes from: the golden data, or a draw."""

from __future__ import annotations

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.tasks import Task, load_task


class Questions:
    """Tasks by case and dtype, the last one kept for the operations that follow on it.

    Parameters
    ----------
    store : Store
        Golden data.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: tuple[str, str] | None = None
        self._task: Task | None = None

    def task(self, case: str, dtype: str) -> Task:
        """Return the task of a case in a dtype."""
        if self._task is None or self._key != (case, dtype):
            self._task, self._key = load_task(self._store, case, dtype), (case, dtype)
        return self._task
