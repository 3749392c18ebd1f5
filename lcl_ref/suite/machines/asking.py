"""A matrix asked on other machines: units go to whoever can answer them, and are asked again where one is lost."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Self

import distributed

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.machines.answering import Answer, Question, answer
from lcl_ref.suite.machines.offers import LCL
from lcl_ref.suite.machines.units import Machine, Unit, lacking, units
from lcl_ref.suite.machines.versions import check_versions, versions
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.matrix import Event, in_order
from lcl_ref.suite.run.settings import BackendReport, Settings

CONNECT_SECONDS = 20
LOOK_SECONDS = 2.0
"""How often it is looked whether every unit that waits still has a machine."""

AWAY_SECONDS = 30.0
"""So long a unit that no machine can answer any longer waits for one to come."""


class MachinesRun:
    """A running matrix on other machines; iterate over it for events, and leave it (``with``) to end it.

    Events tell how far it is: each cell once, from whoever is first. What counts is `answers` afterwards, in which all
    of a backend is of one machine.

    Parameters
    ----------
    address : str
        Of the scheduler.
    plan : mapping of BackendRef to list of Cell
        What is asked.
    settings : Settings
        How; `jobs` is for the machines to say, and `answers` stay with them.
    demanded : sequence of str
        Resources that every machine must offer that answers.

    Raises
    ------
    LclError
        If no scheduler answers, or a machine has other versions.
    """

    def __init__(self, address: str, plan: RunPlan, settings: Settings, demanded: Sequence[str] = ()) -> None:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong is said by an error
        self._plan, self._settings = plan, settings
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._seen: set[Cell | str] = set()
        self.answers: list[Answer] = []
        self._client = _connected(address)
        try:
            self._versions = self._agreed()
            self._client.subscribe_topic(self._topic, lambda event: self._events.put(("", event[1])))
            machines = self._machines()
            found = units(plan, machines, demanded)
            self._left = [(unit, reason) for unit in found if (reason := lacking(unit, machines))]
            self._asked = dict(self._ask(unit) for unit in found if not lacking(unit, machines))
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.cancel([future for _, future in self._asked.values()])
        self._client.close()

    def __iter__(self) -> Iterator[Event]:
        for unit, reason in self._left:
            yield from self._settle(self._not_run(unit, reason))
        away: dict[str, float] = {}
        while self._asked:
            try:
                key, streamed = self._events.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                yield from self._without_machine(away)
                continue
            if key == "":
                yield from self._new(streamed)
            elif key in self._asked:
                unit, future = self._asked.pop(key)
                yield from self._settle(self._answer(unit, future))

    @property
    def _topic(self) -> str:
        return f"lcl-{self._client.id}"

    def _agreed(self) -> dict[str, str]:
        """Return the versions of home, which every machine has."""
        here, names = versions(self._settings.data), self._workers()
        for address, there in self._client.run(versions, workers=list(names)).items():
            check_versions(str(names[address]["name"]), there, here)
        return here

    def _workers(self) -> dict[str, Any]:
        """Return what the scheduler knows of the processes that `lcl worker` started, by address."""
        found = self._client.scheduler_info()["workers"]
        return {address: dict(one) for address, one in found.items() if LCL in one["resources"]}

    def _machines(self) -> list[Machine]:
        workers = sorted(self._workers().values(), key=lambda one: str(one["name"]))
        return [Machine(str(one["name"]), frozenset(one["resources"]), one["nthreads"]) for one in workers]

    def _ask(self, unit: Unit) -> tuple[str, tuple[Unit, distributed.Future[Answer]]]:
        """Ask a unit, the larger the earlier."""
        settings, files = self._settings, [ref.target for ref in unit.plan if ref.kind == "file"]
        question = Question(
            topic=self._topic,
            plan=unit.plan,
            files={file: Path(file).read_bytes() for file in files},
            versions=self._versions,
            limits=(settings.timeout, settings.start_timeout),
            seed=settings.seed,
            fresh=settings.fresh,
            naming=settings.answers is not None,
        )
        resources = dict.fromkeys(unit.needs, 1)
        future = self._client.submit(answer, question, pure=False, resources=resources, priority=unit.cells)
        future.add_done_callback(lambda done: self._events.put((str(done.key), None)))
        return str(future.key), (unit, future)

    def _answer(self, unit: Unit, future: distributed.Future[Answer]) -> Answer:
        try:
            found = future.result()
        except distributed.KilledWorker as lost:
            text = f"given up: machines were lost while they were asked, {lost.last_worker.name} last"
            return self._not_run(unit, text, "broken")
        except LclError:
            raise
        except distributed.CancelledError as error:
            raise _failed("the scheduler", "gone", "one that stays until the run is over") from error
        except Exception as error:
            raise _failed(f"a machine that asks {next(iter(unit.plan)).name}", repr(error), "an answer") from error
        return replace(found, reports=[replace(one, machine=found.machine) for one in found.reports])

    def _not_run(self, unit: Unit, reason: str, availability: str = "missing") -> Answer:
        """Return the answer of nobody."""
        fresh = None if self._settings.fresh is None else 0
        reports = [BackendReport(ref.name, availability, message=reason, fresh=fresh) for ref in unit.plan]
        cells = [outcome(cell, "not_run", message=reason) for cells in unit.plan.values() for cell in cells]
        return Answer("", {}, reports, cells, {})

    def _without_machine(self, away: dict[str, float]) -> Iterator[Event]:
        """Give up units that no machine has been able to answer for long."""
        machines = self._machines()
        for key, (unit, future) in list(self._asked.items()):
            reason = lacking(unit, machines)
            since = away.setdefault(key, monotonic()) if reason else monotonic()
            if not reason:
                away.pop(key, None)
            elif monotonic() - since > AWAY_SECONDS:
                del self._asked[key]
                self._client.cancel([future])
                yield from self._settle(self._not_run(unit, f"its machine was lost, and {reason}"))

    def _settle(self, found: Answer) -> Iterator[Event]:
        """Keep an answer, and yield what of it has not come on its way."""
        self.answers.append(found)
        events: list[Event] = [*found.reports, *found.outcomes]
        for event in events:
            yield from self._once(event)

    def _new(self, streamed: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
        for facts in streamed:
            yield from self._once(Outcome(**facts) if "case" in facts else BackendReport(**facts))

    def _once(self, event: Event) -> Iterator[Event]:
        key = event.cell if isinstance(event, Outcome) else event.name
        if key not in self._seen:
            self._seen.add(key)
            yield event

    def result(self) -> tuple[list[BackendReport], list[Outcome], dict[str, Diagnosis]]:
        """Return what every answer says, in the order of the plan."""
        reports = [report for found in self.answers for report in found.reports]
        outcomes = [one for found in self.answers for one in found.outcomes]
        diagnoses = {name: one for found in self.answers for name, one in found.diagnoses.items()}
        named = {ref.name: diagnoses[ref.name] for ref in self._plan if ref.name in diagnoses}
        return *in_order(self._plan, reports, outcomes), named

    def machines(self) -> dict[str, Mapping[str, Any]]:
        """Return what is known of each machine that answered, by name."""
        return {found.machine: found.facts for found in sorted(self.answers, key=_name) if found.machine}


def _name(found: Answer) -> str:
    return found.machine


def _connected(address: str) -> distributed.Client:
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        text = "the address of a Dask scheduler, such as tcp://10.0.0.1:8786"
        raise _failed(f"scheduler {address}", f"{type(error).__name__}: {error}", text) from error


def _failed(what: str, got: str, expected: str) -> LclError:
    return LclError(Violation("machines/lost", what, got, expected))
