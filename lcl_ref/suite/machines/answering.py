"""What a machine does with a backend: the same run as at home, in a process apart, outcomes streaming back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed

from lcl_ref.outside import scratch
from lcl_ref.suite.diagnosis.annotate import name_mistakes
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.machines.kept import Kept, store_of
from lcl_ref.suite.machines.messages import Answer, Question
from lcl_ref.suite.machines.versions import check_versions, versions
from lcl_ref.suite.report.document import machine
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.matrix import Lent, MatrixRun
from lcl_ref.suite.run.settings import BackendReport, Settings

STREAM_SECONDS = 0.3
"""How often outcomes are sent back."""

KEPT = Kept()

ENDED = threading.Event()
"""Set where this process is to end: what is being asked is left."""


def answer(question: Question) -> Answer:
    """Answer a unit on this machine.

    Raises
    ------
    LclError
        If a version differs.
    """
    worker = distributed.get_worker()
    here = versions()
    check_versions(str(worker.name), here, question.versions)
    jobs = worker.state.nthreads
    lent = KEPT.lent(question.group, store_of(here["golden data"]), question.environment)
    with scratch.folder() as folder:
        plan = {_here(question, folder): question.cells}
        answers = folder if question.naming else None
        settings = Settings(
            default_root(), jobs, *question.limits, runs=jobs, answers=answers, seed=question.seed, fresh=question.fresh
        )
        report, outcomes = _asked(plan, settings, question.topic, lent)
        KEPT.returned(question.group, lent)
        named, diagnoses = name_mistakes(plan, outcomes, settings) if question.naming else (outcomes, {})
    name = str(worker.name)
    refused = tuple(replace(one, what=f"{one.what} on {name}") for one in report.refused)
    report = replace(report, machine=name, refused=refused)
    return Answer(name, machine(), report, list(named), diagnoses.get(question.ref.name))


def _here(question: Question, folder: Path) -> BackendRef:
    """Return a backend as this machine finds it: the file of a layer has travelled."""
    if question.file is None:
        return question.ref
    place = folder / Path(question.ref.target).name
    place.write_bytes(question.file)
    return replace(question.ref, target=str(place))


def _asked(plan: RunPlan, settings: Settings, topic: str, lent: Lent) -> tuple[BackendReport, list[Outcome]]:
    """Run a plan of one backend, and return what it gives; what comes is sent home on its way."""
    reports: list[BackendReport] = []
    outcomes: list[Outcome] = []
    with _stream(topic) as send, MatrixRun(plan, settings, lent) as matrix:
        for event in matrix:
            if isinstance(event, BackendReport):
                reports.append(event)
            else:
                outcomes.append(event)
            send(event)
            if _unwanted():
                raise distributed.TimeoutError("nobody waits for the answer")
    return reports[-1], outcomes


def _unwanted() -> bool:
    """Return whether this process ends, or who asked has gone or cancelled."""
    worker = distributed.get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    ends = ENDED.is_set() or worker.status.name.startswith("clos")  # Dask waits for what is being asked
    return ends or task is None or task.state == "cancelled"


@contextmanager
def _stream(topic: str) -> Iterator[Any]:
    """Yield a function that sends an event home, a few at a time."""
    worker, waiting, last = distributed.get_worker(), [], time.monotonic()

    def send(event: BackendReport | Outcome) -> None:
        nonlocal last
        known = event.to_dict() if isinstance(event, Outcome) else {"name": event.name, "fresh": event.fresh}
        waiting.append(known)
        if time.monotonic() - last > STREAM_SECONDS:
            worker.log_event(topic, list(waiting))
            waiting.clear()
            last = time.monotonic()

    yield send
    worker.log_event(topic, waiting)
