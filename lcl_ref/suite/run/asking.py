"""The job of a run, inside a worker process: ask one cell after the other, and send what the layer answers.

Checks are judged here, since they are about what happens in this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import Key
from lcl_ref.suite.judge.ask import Asker
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.transport import packed
from lcl_ref.suite.run.drawn_cases import Fresh, supported_draws
from lcl_ref.suite.run.loading import Loaded, Send
from lcl_ref.suite.run.questions import Questions


def serve(loaded: Loaded, send: Send, data: str, cells: Sequence[Key], seed: int, fresh: dict[str, Any] | None) -> None:
    """Send the reply to every ``(case, op, dtype)``, and before them which fresh cases are asked, if any are to be.

    `seed` is for what checks draw.
    """
    examiner = Examiner(loaded.adapter, Store(Path(data)), seed)
    drawn: Sequence[Key] = ()
    if fresh is not None:
        drawn = supported_draws(loaded.adapter.declaration.capabilities, Fresh(**fresh))
        send("drawn", cells=drawn)
    asker, questions = Asker(loaded.adapter), Questions(Store(Path(data), answered=False), answered=False)
    asked = (*cells, *drawn)
    for number, (case, op, dtype) in enumerate(asked, 1):
        if case in CHECKS:
            arrays, facts = b"", examiner.judge(Cell(loaded.ref.name, case, op, dtype)).to_dict()
        else:
            facts, arrays = packed(asker.ask(op, questions.task(case, dtype)))
        if number == len(asked):
            send.wait_for_forks()
        send("outcome" if case in CHECKS else "answer", arrays, cell=(case, op, dtype), **facts)
