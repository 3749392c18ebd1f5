"""The job of a run, inside a worker process: ask one cell after the other, and send what the layer answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import Key
from lcl_ref.suite.judge.ask import Asker
from lcl_ref.suite.judge.transport import packed
from lcl_ref.suite.run.drawn_cases import Fresh, supported_draws
from lcl_ref.suite.run.loading import Loaded, Send
from lcl_ref.suite.run.questions import Questions


def serve(loaded: Loaded, send: Send, data: str, cells: Sequence[Key], fresh: dict[str, Any] | None) -> None:
    """Send the reply to every ``(case, op, dtype)``, and before them which fresh cases are asked, if any are to be."""
    drawn: Sequence[Key] = ()
    if fresh is not None:
        drawn = supported_draws(loaded.adapter.declaration.capabilities, Fresh(**fresh))
        send("drawn", cells=drawn)
    asker, questions = Asker(loaded.adapter), Questions(Store(Path(data)), answered=False)
    for case, op, dtype in (*cells, *drawn):
        facts, arrays = packed(asker.ask(op, questions.task(case, dtype)))
        send("answer", arrays, **facts)
