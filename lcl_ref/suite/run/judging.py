"""The job of a run, inside a worker process: judge one cell after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import AnswerFile, Key
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.loading import Loaded, Send


def serve(loaded: Loaded, send: Send, data: str, answers: str | None, cells: Sequence[Key]) -> None:
    """Send the outcome of every ``(case, op, dtype)``, and keep the answers in a file where there is to be one."""
    keep = AnswerFile(Path(answers)).add if answers else None
    evaluator = Evaluator(loaded.adapter, Store(Path(data)), keep)
    for case, op, dtype in cells:
        send("outcome", **evaluator.judge(Cell(loaded.ref.name, case, op, dtype)).to_dict())
