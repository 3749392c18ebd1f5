"""Cutting a run into units: backends that one machine answers, in one process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lcl_ref.suite.machines.offers import LCL, needs
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.process_sharing import WORTH_A_START, WorkerGroups
from lcl_ref.suite.run.registered import family_of, registered


@dataclass(frozen=True)
class Machine:
    """A machine as the scheduler lists it: its name, what it offers, and how many units it answers at a time."""

    name: str
    offers: frozenset[str]
    threads: int = 1


@dataclass(frozen=True)
class Unit:
    """Backends that go to one machine together, and what it has to offer."""

    plan: RunPlan
    needs: frozenset[str]

    @property
    def cells(self) -> int:
        """How many cells it has."""
        return sum(map(len, self.plan.values()))


def units(plan: RunPlan, machines: Sequence[Machine], demanded: Iterable[str] = ()) -> list[Unit]:
    """Return the units of a plan, in its order: backends that share processes, and that the same machines can answer.

    A group of backends is cut only where its share of the cells is more than one slot's, and never below what is worth
    another process.

    Parameters
    ----------
    plan : mapping of BackendRef to list of Cell
        What is asked.
    machines : sequence of Machine
        Who is there.
    demanded : iterable of str
        Resources that every machine must offer that answers.
    """
    numbers = WorkerGroups(plan).numbers()
    together: dict[tuple[int, frozenset[str]], RunPlan] = defaultdict(dict)
    wanted = {ref: frozenset({LCL, *demanded, *needs_of(ref)}) for ref in plan}
    for ref, cells in plan.items():
        able = frozenset(machine.name for machine in machines if wanted[ref] <= machine.offers)
        together[numbers[ref.name], able][ref] = cells
    slots = sum(machine.threads for machine in machines)
    most = max(WORTH_A_START, -(-sum(map(len, plan.values())) // max(slots, 1)))
    parts = [part for group in together.values() for part in _cut(group, most)]
    return [Unit(part, frozenset().union(*(wanted[ref] for ref in part))) for part in parts]


def needs_of(ref: BackendRef) -> set[str]:
    """Return the frameworks that a backend needs; those of a user's own layer are not known."""
    one = registered(family_of(ref.target)).get(ref.target) if ref.kind == "registered" else None
    return needs([one.declaration]) if one is not None and one.readable else set()


def _cut(group: RunPlan, most: int) -> list[RunPlan]:
    """Return a group in parts of at most so many cells, or of one backend."""
    parts: list[RunPlan] = [{}]
    count = 0
    for ref, cells in group.items():
        if parts[-1] and count + len(cells) > most:
            parts.append({})
            count = 0
        parts[-1][ref] = cells
        count += len(cells)
    return parts


def lacking(unit: Unit, machines: Sequence[Machine]) -> str:
    """Return why no machine can answer a unit, each with its name and what it lacks; nothing where one can."""
    missing = {machine.name: sorted(unit.needs - machine.offers) for machine in machines}
    if not missing:
        return "no machine is there: `lcl worker` starts one"
    if not all(missing.values()):
        return ""
    return "no machine has all it needs: " + "; ".join(f"{name} lacks {', '.join(it)}" for name, it in missing.items())
