"""The job of a run, inside a worker process: judge one cell after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.loading import Loaded, Send


def serve(loaded: Loaded, send: Send, data: str, cells: Sequence[tuple[str, str, str]]) -> None:
    """Send the outcome of every ``(case, op, dtype)``."""
    evaluator = Evaluator(loaded.adapter, Store(Path(data)))
    for case, op, dtype in cells:
        send("outcome", **evaluator.judge(Cell(loaded.ref.name, case, op, dtype)).to_dict())
