"""Which cells a layer declines, asked before any of them is: what only its own process can tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.drawn_cases import is_fresh
from lcl_ref.suite.run.loading import BackendRef, Loaded, Send
from lcl_ref.suite.run.process import Job, TimedOut, Worker, WorkerExited
from lcl_ref.suite.run.settings import Settings, wait_until_loaded
from lcl_ref.suite.run.user_layer import UserAdapter

Question = Sequence[str]


def serve(loaded: Loaded, send: Send, cells: Sequence[Question], data: str) -> None:
    """Send which of the questions, as ``[case, op, dtype]``, the layer declines."""
    store = Store(Path(data))
    send("declining", cells=[cell for cell in cells if _declines(loaded.adapter, cell, store)])


def _declines(adapter: Adapter, question: Question, store: Store) -> bool:
    """Return whether a layer says that it does not support a cell; one that raises instead is asked it."""
    case, op, dtype = question
    if lacks(adapter, op):
        return True
    try:
        tags = store.entries[case]["tags"]
        return adapter.declaration.capabilities.refusal(store.spec(case), dtype, op, tags) is not None
    except Exception:  # noqa: BLE001 -- the layer under test may raise anything
        return False


def lacks(adapter: Adapter, op: str) -> bool:
    """Return whether a user's layer has no such operation; what `prepare` returns is known only when it is asked."""
    layer = adapter.layer if isinstance(adapter, UserAdapter) else None
    return layer is not None and not hasattr(layer, "prepare") and not hasattr(layer, op)


def declined_cells(ref: BackendRef, cells: Sequence[Cell], settings: Settings) -> set[Cell]:
    """Return which cells of the golden data a backend declines; none of one that cannot be asked."""
    asked = [[cell.case, cell.op, cell.dtype] for cell in cells if cell.case not in CHECKS and not is_fresh(cell.case)]
    job = Job("lcl_ref.suite.run.supporting", {"cells": asked, "data": str(settings.data)})
    worker = Worker(ref, job, threads=1, limits=settings.limits)
    try:
        if wait_until_loaded(worker, settings).availability != "present":
            return set()
        return {Cell(ref.name, *question) for question in worker.next_message(settings.timeout)["cells"]}
    except (WorkerExited, TimedOut):
        return set()
    finally:
        worker.close()
