"""The job of a run, inside a worker process: ask one cell after the other, and send what the layer answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import Key
from lcl_ref.suite.judge.ask import Asker
from lcl_ref.suite.judge.transport import packed
from lcl_ref.suite.run.loading import Loaded, Send
from lcl_ref.suite.run.questions import Questions


def serve(loaded: Loaded, send: Send, data: str, cells: Sequence[Key]) -> None:
    """Send the reply to every ``(case, op, dtype)``."""
    asker, questions = Asker(loaded.adapter), Questions(Store(Path(data)))
    for case, op, dtype in cells:
        facts, arrays = packed(asker.ask(op, questions.task(case, dtype)))
        send("answer", arrays, **facts)
