"""Diagnosis in a worker process: a layer that crashes or hangs loses the cell it was asked, not the diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lcl_ref.suite.diagnosis.diagnose import Diagnosis, Finding, judge
from lcl_ref.suite.diagnosis.reproducer import invocation
from lcl_ref.suite.diagnosis.stages import Enough, observe, stages
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.answers import AnswerFile, Key
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.outcome import MAX_LOSSES, Cell
from lcl_ref.suite.run.loading import BackendRef, Loaded, Send
from lcl_ref.suite.run.process import Job, TimedOut, Worker, WorkerExited
from lcl_ref.suite.run.questions import Questions
from lcl_ref.suite.run.settings import Settings, require_present, wait_until_loaded

SEARCH_SECONDS = 300.0
"""How long the search and the experiments may take after the last cell."""

Loss = tuple[str, str, str, str]
"""Case, operation and dtype of a cell that ended a process, and how."""


def serve(
    loaded: Loaded,
    send: Send,
    data: str,
    answers: str,
    cases: Sequence[str],
    lost: Sequence[Loss],
    experiment: bool,
    seed: int,
) -> None:
    """Judge a layer by its answers, in the worker; send the fields of a `Diagnosis`.

    Parameters
    ----------
    loaded : Loaded
        The layer.
    send : callable
        Sends ``start`` before each cell that is asked, ``observed`` after the last, and at last ``diagnosed``.
    data, answers : str
        Folder of the golden data, and file of the answers: what is in it is not asked again.
    cases : sequence of str
        Case ids it is about.
    lost : sequence of (case, op, dtype, message)
        Cells that ended an earlier worker: they are not asked again. After `MAX_LOSSES` nothing behind the last is.
    experiment : bool
        Whether the layer may be asked anything but these cells.
    seed : int
        Where fresh layers are drawn from.
    """
    seen = _observed(loaded, send, Store(Path(data)), AnswerFile(Path(answers)), cases, lost, seed)
    send("observed")
    how = invocation(loaded.ref, loaded.adapter) if experiment else None
    send("diagnosed", **judge(loaded.adapter, seen, how, experiment=experiment).to_dict())


def _observed(
    loaded: Loaded,
    send: Send,
    store: Store,
    file: AnswerFile,
    cases: Sequence[str],
    lost: Sequence[Loss],
    seed: int,
) -> list[Observation]:
    """Return an observation of each cell, asking the layer where there is none."""
    ended = {(case, op, dtype): message for case, op, dtype, message in lost}
    task_of = cache(Questions(store).task)
    known, kept, losses = dict[Key, Observation](), list[Observation](), 0
    evaluator = Evaluator(loaded.adapter, keep=kept.append, twice=False)

    def ask(key: Key) -> Observation:
        nonlocal losses
        case, op, dtype = key
        if key in known:
            return known[key]
        if losses == MAX_LOSSES:
            raise Enough
        if key in ended:
            losses += 1
            return Observation(case, op, task_of(case, dtype), "error", {}, ended[key])
        send("start", case=case, op=op, dtype=dtype)
        evaluator.judge_task(Cell(loaded.ref.name, case, op, dtype), task_of(case, dtype))
        file.add(kept[-1])
        return kept.pop()

    def todo() -> Iterator[Sequence[Key]]:
        for cells in stages(loaded.adapter, store, cases, [*file.wrong(), *ended], seed):
            known.clear()
            known.update(file.read(set(cells), task_of))
            yield cells

    return observe(todo(), ask)


def diagnose_backend(ref: BackendRef, settings: Settings, cases: Sequence[str], lost: Sequence[Loss] = ()) -> Diagnosis:
    """Diagnose a backend in a process of its own.

    Parameters
    ----------
    ref : BackendRef
        Where it is.
    settings : Settings
        Golden data, the folder of what it answered so far, and how long it may take.
    cases : sequence of str
        Case ids it is about.
    lost : sequence of (case, op, dtype, message)
        Cells that ended a process before.

    Raises
    ------
    LclError
        If the backend is no layer, or does not load.
    """
    lost, experiment = list(lost), True
    while True:
        asked = {"cases": list(cases), "lost": lost, "experiment": experiment}
        asked |= {"data": str(settings.data), "answers": settings.answers_of(ref), "seed": settings.seed}
        worker = Worker(ref, Job(__name__, asked), threads=1, limits=settings.limits)
        try:
            require_present(wait_until_loaded(worker, settings))
            cell, loss, found = _listen(worker, settings.timeout)
        finally:
            worker.close()
        if found is not None:
            return _diagnosis(ref.name, found)
        if cell is not None:
            lost.append((*cell, loss))
        elif experiment:
            experiment = False
        else:
            return Diagnosis(ref.name, f"cannot diagnose: {loss}", {})


def _listen(worker: Worker, timeout: float) -> tuple[Key | None, str, dict[str, Any] | None]:
    """Return the cell at which the worker was lost and how, or the diagnosis; no cell where it was lost afterwards."""
    cell: Key | None = None
    seconds = timeout
    while True:
        try:
            message = worker.next_message(seconds)
        except TimedOut:
            return cell, f"timeout: no answer within {seconds:g} s", None
        except WorkerExited as end:
            return cell, f"crash: the process was {end}", None
        if message["event"] == "diagnosed":
            return None, "", message
        if message["event"] == "observed":
            cell, seconds = None, SEARCH_SECONDS
        else:
            cell = message["case"], message["op"], message["dtype"]


def _diagnosis(name: str, message: dict[str, Any]) -> Diagnosis:
    findings: list[dict[str, Any]] = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in finding.items()}
        for finding in message["findings"]
    ]
    return Diagnosis(name, message["line"], message["counts"], tuple(Finding(**facts) for facts in findings))
