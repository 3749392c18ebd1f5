"""A matrix asked on other machines: backends go to whoever can answer them, and are asked again where one is lost."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Self

import distributed

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.machines.answering import answer
from lcl_ref.suite.machines.messages import Answer, Question
from lcl_ref.suite.machines.offers import LCL
from lcl_ref.suite.machines.scheduler import check_address, unreachable
from lcl_ref.suite.machines.units import Machine, Unit, Units, lacking
from lcl_ref.suite.machines.versions import check_versions, versions
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.matrix import Event
from lcl_ref.suite.run.settings import BackendReport, Settings

CONNECT_SECONDS = 20
LOOK_SECONDS = 2.0
"""How often it is looked which machines are there."""

AWAY_SECONDS = 30.0
"""So long a backend that no machine can answer any longer waits for one to come."""


class MachinesRun:
    """A running matrix on other machines; iterate over it for events, and leave it (``with``) to end it.

    Events tell how far it is: each cell once, from whoever is first. What counts is `answers` afterwards, one for each
    backend, from one machine.

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
        self._plan, self._settings = plan, settings
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._seen: set[Cell | str] = set()
        self._asked: dict[str, tuple[Unit, distributed.Future[Answer]]] = {}
        self._away: dict[BackendRef, float] = {}
        self.answers: list[Answer] = []
        self._client = _connected(address)
        try:
            self._machines = self._present()
            self._versions = self._agreed()
            self._client.subscribe_topic(self._topic, lambda event: self._events.put(("", event[1])))
            self._units = Units(plan, demanded)
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.cancel([future for _, future in self._asked.values()])
        self._client.close()

    def __iter__(self) -> Iterator[Event]:
        yield from self._given_up()
        self._hand_out()
        looked = monotonic()
        while self._asked or self._units.waiting:
            with contextlib.suppress(queue.Empty):
                yield from self._heard(*self._events.get(timeout=LOOK_SECONDS))
            if monotonic() - looked >= LOOK_SECONDS:
                self._machines, looked = self._present(), monotonic()
                yield from self._given_up(AWAY_SECONDS, "its machine was lost, and ")
                self._hand_out()

    def _heard(self, key: str, streamed: Any) -> Iterator[Event]:
        """Take in an answer, by its key, or what came on the way of one."""
        if key == "":
            yield from self._new(streamed)
        elif key in self._asked:
            unit, future = self._asked.pop(key)
            found = self._answer(unit, future)
            self._units.settled(unit)
            self._hand_out()
            yield from self._settle(found)

    @property
    def _topic(self) -> str:
        return f"lcl-{self._client.id}"

    def _agreed(self) -> dict[str, str]:
        """Return the versions of home, which every machine has."""
        here = versions(self._settings.data)
        for address, there in self._client.run(versions, workers=list(self._machines)).items():
            check_versions(self._machines[address].name, there, here)
        return here

    def _present(self) -> dict[str, Machine]:
        """Return the machines that `lcl worker` started, by address, in the order of their names."""
        assert self._client.scheduler is not None
        try:
            known = self._client.sync(self._client.scheduler.identity)["workers"]  # all: `scheduler_info` may list five
        except OSError as error:
            raise _gone() from error
        found = {
            address: Machine(str(one["name"]), frozenset(one["resources"]), one["nthreads"])
            for address, one in known.items()
            if LCL in one["resources"]
        }
        return dict(sorted(found.items(), key=lambda one: one[1].name))

    def _hand_out(self) -> None:
        """Ask a unit wherever a slot is free."""
        for unit in self._units.handed_out(self._machines):
            resources = dict.fromkeys(self._units.needs[unit.ref], 1)
            future = self._client.submit(answer, self._question(unit), pure=False, resources=resources)
            self._asked[str(future.key)] = (unit, future)
            future.add_done_callback(lambda done: self._events.put((str(done.key), None)))

    def _question(self, unit: Unit) -> Question:
        settings = self._settings
        return Question(
            topic=self._topic,
            ref=unit.ref,
            cells=unit.cells,
            file=Path(unit.ref.target).read_bytes() if unit.ref.kind == "file" else None,
            group="" if unit.group.alone else f"{self._topic} {unit.number}",
            environment=unit.group.environment,
            versions=self._versions,
            limits=(settings.timeout, settings.start_timeout),
            seed=settings.seed,
            fresh=settings.fresh,
            naming=settings.answers is not None,
        )

    def _answer(self, unit: Unit, future: distributed.Future[Answer]) -> Answer:
        try:
            return future.result()
        except distributed.KilledWorker as lost:
            text = f"given up: machines were lost while they were asked, {lost.last_worker.name} last"
            return self._not_run(unit.ref, text, "broken")
        except LclError:
            raise
        except distributed.CancelledError as error:
            raise _gone() from error
        except Exception as error:
            raise _failed(f"a machine that asks {unit.ref.name}", repr(error), "an answer") from error

    def _not_run(self, ref: BackendRef, reason: str, availability: str = "missing") -> Answer:
        """Return the answer of nobody."""
        fresh = None if self._settings.fresh is None else 0
        report = BackendReport(ref.name, availability, message=reason, fresh=fresh)
        return Answer("", {}, report, [outcome(cell, "not_run", message=reason) for cell in self._plan[ref]])

    def _given_up(self, patience: float = 0.0, why: str = "") -> Iterator[Event]:
        """Give up backends that no machine has been able to answer for so many seconds."""
        asked, now = {unit.ref: key for key, (unit, _) in self._asked.items()}, monotonic()
        for ref in [*self._units.waiting, *asked]:
            reason = lacking(self._units.needs[ref], list(self._machines.values()))
            if not reason:
                self._away.pop(ref, None)
            elif now - self._away.setdefault(ref, now) >= patience:
                if ref in asked:
                    unit, future = self._asked.pop(asked[ref])
                    self._units.settled(unit)
                    self._client.cancel([future])
                self._units.given_up(ref)
                yield from self._settle(self._not_run(ref, why + reason))

    def _settle(self, found: Answer) -> Iterator[Event]:
        """Keep an answer, and yield what of it has not come on its way."""
        self.answers.append(found)
        events: list[Event] = [found.report, *found.outcomes]
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


def _connected(address: str) -> distributed.Client:
    check_address(address)
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise unreachable(address, error) from error


def _gone() -> LclError:
    return _failed("the scheduler", "gone", "one that stays until the run is over")


def _failed(what: str, got: str, expected: str) -> LclError:
    return LclError(Violation("machines/lost", what, got, expected))
