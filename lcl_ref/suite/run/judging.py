"""The job of a run, inside a worker process: judge one cell after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import AnswerFile, Key
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.loading import Loaded, Send


def serve(loaded: Loaded, send: Send, data: str, answers: str | None, cells: Sequence[Key], seed: int) -> None:
    """Send the outcome of every ``(case, op, dtype)``, and keep the answers in a file where there is to be one.

    `seed` is for what checks draw.
    """
    keep = AnswerFile(Path(answers)).add if answers else None
    store = Store(Path(data))
    evaluator, examiner = Evaluator(loaded.adapter, store, keep), Examiner(loaded.adapter, store, seed)
    for case, op, dtype in cells:
        judge = examiner.judge if case in CHECKS else evaluator.judge
        send("outcome", **judge(Cell(loaded.ref.name, case, op, dtype)).to_dict())
