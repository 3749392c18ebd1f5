"""The matrix: backends in worker processes, side by side, outcomes streaming back.

A crash or a hang becomes the outcome of the one cell that was being asked; the worker is started again for the rest.
Which backends may follow each other in one process is for `process_sharing` to say.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Self

from lcl_ref.outside.text import shown
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import GIVEN_UP, MAX_LOSSES, Cell, Outcome, outcome
from lcl_ref.suite.run.drawn_cases import Fresh, is_question
from lcl_ref.suite.run.judging import Judge
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.process import Forked, Job, TimedOut, Worker, WorkerExited
from lcl_ref.suite.run.process_sharing import WorkerGroup, WorkerGroups
from lcl_ref.suite.run.settings import WATCHDOG_MARGIN_SECONDS, BackendReport, Settings, wait_until_loaded

Event = BackendReport | Outcome


def in_order(
    plan: Iterable[BackendRef], reports: Iterable[BackendReport], outcomes: Iterable[Outcome]
) -> tuple[list[BackendReport], list[Outcome]]:
    """Return what is known of backends, and their outcomes, in the order of a plan; of one backend as they came."""
    order = {ref.name: number for number, ref in enumerate(plan)}
    ordered = sorted(reports, key=lambda report: order[report.name])
    return ordered, sorted(outcomes, key=lambda one: order[one.backend])


@dataclass
class Lent:
    """What goes from a run of one backend to the next run, of another backend of the same group.

    Parameters
    ----------
    store : Store
        Golden data, as far as it was read.
    environment : mapping of str to str
        Variables that processes of the group start with.
    worker : Worker or None
        A process of the group, where there is one; it is with the run while that goes on.
    """

    store: Store
    environment: Mapping[str, str]
    worker: Worker | None = None


class MatrixRun:
    """A running matrix; iterate over it for events, and leave it (``with``) to end every process it started.

    Parameters
    ----------
    plan : mapping of BackendRef to list of Cell
        What is asked.
    settings : Settings
        How.
    lent : Lent or None
        What a plan of one backend begins with and leaves.
    """

    def __init__(self, plan: dict[BackendRef, list[Cell]], settings: Settings, lent: Lent | None = None) -> None:
        self._settings, self._lent = settings, lent
        self._store = Store(settings.data) if lent is None else lent.store
        self._events: queue.Queue[Event | BaseException | None] = queue.Queue()
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._groups = WorkerGroups(plan)
        self._open = min(max(1, settings.jobs // settings.runs), len(plan))
        self._pool = ThreadPoolExecutor(max_workers=settings.jobs)
        for _ in range(self._open):
            self._pool.submit(self._run_lane)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopped = True
            while self._workers:
                self._workers.pop().close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[Event]:
        while self._open:
            event = self._events.get()
            if event is None:
                self._open -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield event

    def _run_lane(self) -> None:
        """Run one backend after the other, in the same process where they are of one group."""
        group: WorkerGroup | None = None
        try:
            worker = self._borrowed()
            while (turn := self._groups.next(group)) is not None:
                if worker is not None and group is not None and turn[0] is not group:
                    self._end(worker)
                    worker = None
                group, ref, cells = turn
                worker = self._ask_all(worker, group, ref, cells)
            if worker is not None:
                self._give_back(worker)
        except BaseException as error:  # noqa: BLE001 -- handed to the thread that iterates
            if not self._stopped:
                self._events.put(error)
        finally:
            self._events.put(None)

    def _borrowed(self) -> Worker | None:
        """Return the process that was lent, from now on one of this run's."""
        with self._lock:
            if self._lent is None or self._lent.worker is None:
                return None
            worker, self._lent.worker = self._lent.worker, None
            self._workers.add(worker)
            return worker

    def _give_back(self, worker: Worker) -> None:
        """End a process, or leave it to whoever lends."""
        with self._lock:
            if self._lent is not None and worker in self._workers:
                self._workers.discard(worker)
                self._lent.worker = worker
        self._end(worker)

    def _ask_all(self, warm: Worker | None, group: WorkerGroup, ref: BackendRef, cells: list[Cell]) -> Worker | None:
        """Ask every cell, starting the worker again after each loss, until too many follow each other.

        `warm` is a worker that has served the group. Returns the worker if it can serve it again.
        """
        left, losses, reported = list(cells), 0, False
        fresh = self._settings.fresh_of(ref)
        while (left or fresh) and losses < MAX_LOSSES:
            worker = self._at_work(warm, group, ref, left, fresh)
            if worker is None:
                return None
            served, warm = worker is warm, None
            report = wait_until_loaded(worker, self._settings)
            if served and report.availability == "broken" and report.error_kind != "exception":
                self._end(worker)  # others before it may have done that: ask a new one
                continue
            drawn = self._drawn(worker, ref, fresh) if fresh and report.availability == "present" else []
            if not reported or report.availability != "present":
                self._events.put(replace(report, fresh=None if fresh is None else len(drawn or ())))
            reported = True
            if report.availability != "present":
                self._put_all(left, report)
                self._end(worker)
                return None
            fresh = None
            if drawn is None:
                self._end(worker)
                losses += 1
                continue
            left += drawn
            judge = Judge(self._store, self._settings.answers_of(ref), report.accumulation)
            settled, answered, lost = self._listen(worker, left, judge)
            left = left[settled:]
            if lost is None:
                warm = worker
                continue
            self._end(worker)
            losses = 0 if answered else losses + 1
        for cell in left:
            self._events.put(outcome(cell, "not_run", message=GIVEN_UP))
        return warm

    def _drawn(self, worker: Worker, ref: BackendRef, fresh: Fresh) -> list[Cell] | None:
        """Return the fresh cells that a worker says its backend supports; None where it was lost over them."""
        try:
            message = worker.next_message(self._settings.timeout)
        except (TimedOut, WorkerExited):
            return None
        questions = message.get("cells", ())
        return [Cell(ref.name, *question) for question in questions if is_question(question, fresh)]

    def _at_work(
        self, warm: Worker | None, group: WorkerGroup, ref: BackendRef, cells: list[Cell], fresh: Fresh | None
    ) -> Worker | None:
        """Return a worker that was given these cells, a `warm` one if there is one; None where the run was stopped."""
        with self._lock:
            if self._stopped:
                return None
            asked = [(cell.case, cell.op, cell.dtype) for cell in cells]
            facts = {"data": str(self._settings.data.absolute()), "cells": asked, "seed": self._settings.seed}
            job = Job("lcl_ref.suite.run.asking", facts | {"fresh": fresh and asdict(fresh)})
            if warm is not None:
                warm.take_up(ref, job)
                return warm
            threads = max(1, (os.cpu_count() or 1) // self._settings.jobs)
            environment = group.environment if self._lent is None else self._lent.environment
            worker = Worker(ref, job, threads, self._settings.limits, environment=environment)
            self._workers.add(worker)
            return worker

    def _end(self, worker: Worker) -> None:
        with self._lock:
            if worker in self._workers:
                self._workers.discard(worker)
                worker.close()

    def _listen(self, worker: Worker, cells: list[Cell], judge: Judge) -> tuple[int, int, str | None]:
        """Pass on outcomes until the worker is done or lost.

        Returns
        -------
        tuple
            How many cells are settled, how many of them by an answer of the layer, and how the worker was lost.
        """
        answered, seconds = 0, self._settings.timeout
        if worker.ref.kind == "exec":
            seconds += self._settings.start_timeout + WATCHDOG_MARGIN_SECONDS  # a program may start again
        for number, cell in enumerate(cells):
            try:
                message = worker.next_message(seconds)
            except TimedOut:
                text = f"no answer within {self._settings.timeout:g} s"
                self._events.put(outcome(cell, "error", message=text, error_kind="timeout"))
                return number + 1, answered, text
            except Forked as fork:
                self._events.put(outcome(cell, "error", message=f"the process was {fork}", error_kind=fork.kind))
                continue
            except WorkerExited as end:
                if self._stopped:
                    return len(cells), answered, None
                self._events.put(outcome(cell, "error", message=f"the process was {end}", error_kind=end.kind))
                return number + 1, answered, str(end)
            if message.get("cell") != [cell.case, cell.op, cell.dtype]:
                text = f"the process of the layer sent {shown(message['event'])} of {shown(message.get('cell'))}"
                self._events.put(outcome(cell, "error", message=text, error_kind="malformed"))
                return number + 1, answered, text
            answer = judge.outcome(cell, message)
            answered += answer.state != "unsupported"
            self._events.put(answer)
        try:
            event = worker.next_message(WATCHDOG_MARGIN_SECONDS)["event"]  # "done": a program was told to stop
        except (WorkerExited, TimedOut) as end:
            event = str(end)
        return len(cells), answered, None if event == "done" else f"not done: {event}"

    def _put_all(self, cells: list[Cell], report: BackendReport) -> None:
        """Settle every cell of a backend that could not be loaded."""
        for cell in cells:
            if report.availability == "missing":
                self._events.put(outcome(cell, "not_run", message=report.message))
            else:
                self._events.put(outcome(cell, "error", message=report.message, error_kind=report.error_kind))
