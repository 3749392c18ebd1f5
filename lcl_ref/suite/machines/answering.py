"""What a machine does with a unit: the same run as at home, in worker processes of its own, outcomes streaming back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import distributed

from lcl_ref.outside import scratch
from lcl_ref.suite.diagnosis.annotate import name_mistakes
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.machines.versions import check_versions, versions
from lcl_ref.suite.report.document import machine
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.drawn_cases import Fresh
from lcl_ref.suite.run.matrix import MatrixRun, in_order
from lcl_ref.suite.run.settings import BackendReport, Settings

STREAM_SECONDS = 0.3
"""How often outcomes are sent back."""

ENDED = threading.Event()
"""Set where this process is to end: what is being asked is left."""


@dataclass(frozen=True)
class Question:
    """A unit as it travels.

    Parameters
    ----------
    topic : str
        Where outcomes are sent while there is no result.
    plan : mapping of BackendRef to list of Cell
        What is asked.
    files : mapping of str to bytes
        Files of users' layers by their paths at home.
    versions : mapping of str to str
        What has to be the same on both sides.
    limits : tuple of float
        Seconds a cell may take, and a backend to load.
    seed : int
        As in `Settings`.
    fresh : Fresh or None
        As in `Settings`.
    naming : bool
        Whether mistakes are named.
    """

    topic: str
    plan: RunPlan
    files: Mapping[str, bytes]
    versions: Mapping[str, str]
    limits: tuple[float, float]
    seed: int
    fresh: Fresh | None
    naming: bool


@dataclass(frozen=True)
class Answer:
    """What came of a unit, all of it from one machine."""

    machine: str
    facts: Mapping[str, Any]
    reports: list[BackendReport]
    outcomes: list[Outcome]
    diagnoses: Mapping[str, Diagnosis]


def answer(question: Question) -> Answer:
    """Answer a unit on this machine.

    Raises
    ------
    LclError
        If a version differs.
    """
    worker = distributed.get_worker()
    check_versions(str(worker.name), versions(), question.versions)
    with scratch.folder() as folder:
        plan = {_here(ref, question.files, folder): cells for ref, cells in question.plan.items()}
        jobs = worker.state.nthreads
        answers = folder if question.naming else None
        settings = Settings(
            default_root(), jobs, *question.limits, runs=jobs, answers=answers, seed=question.seed, fresh=question.fresh
        )
        reports, outcomes = _asked(plan, settings, question.topic)
        named, diagnoses = name_mistakes(plan, outcomes, settings) if question.naming else (outcomes, {})
    return Answer(str(worker.name), machine(), reports, list(named), diagnoses)


def _here(ref: Any, files: Mapping[str, bytes], folder: Path) -> Any:
    """Return a backend as this machine finds it: the file of a layer has travelled."""
    if ref.target not in files:
        return ref
    place = folder / Path(ref.target).name
    place.write_bytes(files[ref.target])
    return replace(ref, target=str(place))


def _asked(plan: RunPlan, settings: Settings, topic: str) -> tuple[list[BackendReport], list[Outcome]]:
    """Run a plan, and return what it gives in its order; what comes is sent home on its way."""
    reports: dict[str, BackendReport] = {}
    outcomes: list[Outcome] = []
    with _stream(topic) as send, MatrixRun(plan, settings) as matrix:
        for event in matrix:
            if isinstance(event, BackendReport):
                reports[event.name] = event
            else:
                outcomes.append(event)
            send(event)
            if _unwanted():
                raise distributed.TimeoutError("nobody waits for the answer")
    return in_order(plan, reports.values(), outcomes)


def _unwanted() -> bool:
    """Return whether this process ends, or who asked has gone or cancelled."""
    worker = distributed.get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    return ENDED.is_set() or task is None or task.state == "cancelled"


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
