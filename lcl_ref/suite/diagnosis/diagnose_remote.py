"""Diagnosis in a worker process: a layer that crashes or hangs loses the cell it was asked, not the diagnosis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lcl_ref.suite.diagnosis.diagnose import Diagnosis, Finding, cells_for, judge
from lcl_ref.suite.diagnosis.observation import Observation, ask
from lcl_ref.suite.diagnosis.reproducer import invocation
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.tasks import load_task
from lcl_ref.suite.run.loading import BackendRef, Loaded, Send
from lcl_ref.suite.run.matrix import refusal_of
from lcl_ref.suite.run.process import Job, TimedOut, Worker, WorkerExited

SEARCH_SECONDS = 300.0
"""How long the search and the experiments may take after the last cell."""

MAX_LOSSES = 3
"""After so many crashes or timeouts the cells that were not asked yet are left out."""

Cell = tuple[str, str, str]


def serve(
    loaded: Loaded,
    send: Send,
    data: str,
    cases: Sequence[str],
    lost: Sequence[tuple[str, str, str, str]],
    experiment: bool,
) -> None:
    """Observe a layer and judge it, in the worker; send the fields of a `Diagnosis`.

    Parameters
    ----------
    loaded : Loaded
        The layer.
    send : callable
        Sends ``start`` before each cell, ``observed`` after the last, and at last ``diagnosed``.
    data : str
        Folder of the golden data.
    cases : sequence of str
        Case ids to ask about.
    lost : sequence of (case, op, dtype, message)
        Cells that ended an earlier worker: they are not asked again. After `MAX_LOSSES` nothing behind the last is.
    experiment : bool
        Whether the layer may be asked anything but these cells.
    """
    adapter, store = loaded.adapter, Store(Path(data))
    seen, ended = [], {(case, op, dtype): message for case, op, dtype, message in lost}
    for case, op, dtype in cells_for(adapter, store, cases):
        if (case, op, dtype) in ended:
            message = ended.pop((case, op, dtype))
            seen.append(Observation(case, op, load_task(store, case, dtype), "error", {}, message))
            if len(lost) >= MAX_LOSSES and not ended:
                break
        else:
            send("start", case=case, op=op, dtype=dtype)
            seen.append(ask(adapter, case, op, load_task(store, case, dtype)))
    send("observed")
    how = invocation(loaded.ref, adapter) if experiment else None
    send("diagnosed", **judge(adapter, seen, how, experiment=experiment).to_dict())


def diagnose_backend(
    ref: BackendRef,
    data: Path,
    cases: Sequence[str],
    timeout: float,
    start_timeout: float,
) -> Diagnosis:
    """Diagnose a backend in a process of its own.

    Parameters
    ----------
    ref : BackendRef
        Where it is.
    data : Path
        Folder of the golden data.
    cases : sequence of str
        Case ids it is asked about.
    timeout, start_timeout : float
        Seconds a cell, and loading, may take.

    Raises
    ------
    LclError
        If the backend is no layer, or does not load.
    """
    lost: list[tuple[str, str, str, str]] = []
    experiment = True
    while True:
        asked = {"data": str(data), "cases": list(cases), "lost": lost, "experiment": experiment}
        limits = {"start": start_timeout, "case": timeout}
        worker = Worker(ref, Job(__name__, asked), threads=1, limits=limits)
        try:
            _wait_until_loaded(worker, start_timeout)
            cell, loss, found = _listen(worker, timeout)
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


def _wait_until_loaded(worker: Worker, seconds: float) -> None:
    """Raise what keeps the backend from being loaded, if anything does."""
    try:
        message = worker.next_message(seconds)
    except TimedOut:
        message = {"event": "broken", "message": f"{worker.ref.name} did not load within {seconds:g} s"}
    except WorkerExited as end:
        message = {"event": "broken", "message": f"{worker.ref.name}: the process was {end} while loading it"}
    refusal_of(message)


def _listen(worker: Worker, timeout: float) -> tuple[Cell | None, str, dict[str, Any] | None]:
    """Return the cell at which the worker was lost and how, or the diagnosis; no cell where it was lost afterwards."""
    cell: Cell | None = None
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
