"""Which backends run in one process after each other, and which of them is next.

Starting a framework takes longer than asking it most questions, so adapters that a provider registers share processes,
unless they declare ``own_process``: those that import a module in common and want no environment variable different
from each other; those that import NumPy alone share with any. A backend of any other kind has processes of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lcl_ref.suite.adapter import Declaration
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.registered import family_of, registered

IN_EVERY_WORKER = {"numpy"}
"""Modules that no process starts for: who imports nothing else is welcome anywhere."""

WORTH_A_START = 500
"""Cells that must be left for a second process to join in: its start takes as long as some hundreds of them."""

Turn = tuple[BackendRef, list[Cell]]
"""A backend and what it is asked."""


@dataclass(eq=False)
class WorkerGroup:
    """Backends whose processes are interchangeable.

    Parameters
    ----------
    modules : set of str
        Top-level modules that they import.
    environment : dict of str to str
        Variables that their processes start with.
    left : list of Turn
        Those not yet begun.
    begun : bool
        Whether a process has been started for it.
    alone : bool
        Whether it is of one backend that shares with none.
    """

    modules: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)
    left: list[Turn] = field(default_factory=list)
    begun: bool = False
    alone: bool = False

    def admits(self, declaration: Declaration) -> bool:
        """Return whether a backend imports what the others do, and contradicts none of them."""
        wanted, roots = declaration.environment, _roots(declaration)
        agrees = all(self.environment.get(name, value) == value for name, value in wanted.items())
        return not self.alone and agrees and (not roots or not self.modules.isdisjoint(roots))

    def join(self, declaration: Declaration) -> None:
        """Add what a backend imports and wants."""
        self.modules |= _roots(declaration)
        self.environment |= declaration.environment


class WorkerGroups:
    """The backends of a plan by group, handed out one at a time to whoever has a process free."""

    def __init__(self, plan: Mapping[BackendRef, list[Cell]]) -> None:
        self._lock = threading.Lock()
        self._groups: list[WorkerGroup] = []
        known = _declarations(plan) if len(plan) > 1 else {}
        for ref, cells in plan.items():
            self._group(known.get(ref)).left.append((ref, cells))

    def numbers(self) -> dict[str, int]:
        """Return the number of the group of each backend not yet begun, by the backend's name."""
        return {ref.name: number for number, group in enumerate(self._groups) for ref, _ in group.left}

    def _group(self, declaration: Declaration | None) -> WorkerGroup:
        """Return the first group that admits a backend, or a new one."""
        found = (each for each in self._groups if declaration is not None and each.admits(declaration))
        group = next(found, None)
        if group is None:
            group = WorkerGroup(alone=declaration is None)
            self._groups.append(group)
        if declaration is not None:
            group.join(declaration)
        return group

    def next(
        self,
        last: WorkerGroup | None,
        able: Callable[[BackendRef], bool] = lambda _: True,
        worth: int = WORTH_A_START,
    ) -> tuple[WorkerGroup, BackendRef, list[Cell]] | None:
        """Return a backend of the `last` group, else of the largest that nobody has begun, else of one to be shared.

        None where nothing is left that who asks is `able` to ask, or of which less than `worth` another process.
        """
        with self._lock:
            able_of = [(group, [turn for turn in group.left if able(turn[0])]) for group in self._groups]
            waiting = [(group, turns) for group, turns in able_of if turns]
            same = [(group, turns) for group, turns in waiting if group is last]
            fresh = [(group, turns) for group, turns in waiting if not group.begun]
            large = [(group, turns) for group, turns in waiting if _cells_in(turns) >= worth]
            chosen = same or fresh or large
            if not chosen:
                return None
            group, turns = max(chosen, key=lambda one: _cells_in(one[1]))
            group.begun = True
            group.left.remove(turns[0])
            return group, *turns[0]


def _cells_in(turns: Iterable[Turn]) -> int:
    return sum(len(cells) for _, cells in turns)


def _roots(declaration: Declaration) -> set[str]:
    return {name.split(".")[0] for name in declaration.modules} - IN_EVERY_WORKER


def _declarations(refs: Iterable[BackendRef]) -> dict[BackendRef, Declaration]:
    """Return what backends that may share declare; one that does not import is for its worker to report."""
    found = {}
    for ref in refs:
        one = registered(family_of(ref.target)).get(ref.target) if ref.kind == "registered" else None
        if one is not None and one.readable:
            with contextlib.suppress(ImportError):
                found[ref] = one.declaration
    return {ref: declaration for ref, declaration in found.items() if not declaration.own_process}
