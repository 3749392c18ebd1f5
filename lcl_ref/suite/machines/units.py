"""Cutting a run into units, a backend each, and handing them out: to a machine first what its process has begun."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.machines.offers import LCL, needs
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.process_sharing import WorkerGroup, WorkerGroups
from lcl_ref.suite.run.registered import family_of, registered


@dataclass(frozen=True)
class Machine:
    """A machine as the scheduler lists it: its name, what it offers, and how many units it answers at a time."""

    name: str
    offers: frozenset[str]
    threads: int = 1


@dataclass(frozen=True)
class Unit:
    """A backend and what it is asked, by the machine at an address if that stays, in a process of its group."""

    ref: BackendRef
    cells: list[Cell]
    address: str
    group: WorkerGroup
    number: int


class Units:
    """The units of a run: which are still to be handed out, and which machine gets which next.

    A unit is handed out when a machine has a slot free for it, so that machines of unlike speed end at the same time
    and runs of others have their turns; of the group that the slot was at last, whose framework a process of the
    machine has loaded.

    Parameters
    ----------
    plan : mapping of BackendRef to list of Cell
        What is asked.
    demanded : iterable of str
        Resources that every machine must offer that answers.
    """

    def __init__(self, plan: RunPlan, demanded: Iterable[str] = ()) -> None:
        self._groups = WorkerGroups(plan)
        self._numbers = self._groups.numbers()
        self.needs = {ref: frozenset({LCL, *demanded, *needs_of(ref)}) for ref in plan}
        self._busy: Counter[str] = Counter()
        self._idle: dict[str, list[WorkerGroup]] = defaultdict(list)

    @property
    def waiting(self) -> list[BackendRef]:
        """Backends that were neither handed out nor given up."""
        left = self._groups.numbers()
        return [ref for ref in self.needs if ref.name in left]

    def given_up(self, ref: BackendRef) -> None:
        """Hand out a backend no more."""
        del self.needs[ref]

    def handed_out(self, machines: Mapping[str, Machine]) -> Iterator[Unit]:
        """Yield a unit for every slot that is free, on machines by address."""
        for address, machine in machines.items():
            while self._busy[address] < machine.threads:
                last = self._idle[address].pop() if self._idle[address] else None
                turn = self._groups.next(last, self._able(machine), worth=0)
                if turn is None:
                    break
                group, ref, cells = turn
                self._busy[address] += 1
                yield Unit(ref, cells, address, group, self._numbers[ref.name])

    def _able(self, machine: Machine) -> Callable[[BackendRef], bool]:
        return lambda ref: ref in self.needs and self.needs[ref] <= machine.offers

    def settled(self, unit: Unit) -> None:
        """Free the slot of a unit."""
        self._busy[unit.address] -= 1
        self._idle[unit.address].append(unit.group)


def needs_of(ref: BackendRef) -> set[str]:
    """Return the frameworks that a backend needs; those of a user's own layer are not known."""
    one = registered(family_of(ref.target)).get(ref.target) if ref.kind == "registered" else None
    return needs([one.declaration]) if one is not None and one.readable else set()


def lacking(needed: frozenset[str], machines: Sequence[Machine]) -> str:
    """Return why no machine can answer what needs this, each with its name and what it lacks; nothing where one can."""
    missing = {machine.name: sorted(needed - machine.offers) for machine in machines}
    if not missing:
        return "no machine is there: `lcl worker` starts one"
    if not all(missing.values()):
        return ""
    return "no machine has all it needs: " + "; ".join(f"{name} lacks {', '.join(it)}" for name, it in missing.items())
