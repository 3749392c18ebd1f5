"""Which backends run in one process after each other, and which of them is next.

Starting a framework takes longer than asking it most questions, so adapters of this distribution share processes: those
that import a module in common and want no environment variable different from each other; those that import NumPy alone
share with any. A backend of any other kind has processes of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lcl_ref.suite.adapter import Declaration
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.loading import BackendRef, registered

IN_EVERY_WORKER = {"numpy"}
"""Modules that no process starts for: who imports nothing else is welcome anywhere."""

DISTRIBUTION = "lcl-ref"
"""Its adapters import without their frameworks, so that the host can read what they declare."""

WORTH_A_START = 500
"""Cells that must be left for a second process to join in: its start takes as long as some hundreds of them."""


@dataclass(eq=False)
class Company:
    """Backends whose processes are interchangeable.

    Parameters
    ----------
    modules : set of str
        Top-level modules that they import.
    environment : dict of str to str
        Variables that their processes start with.
    left : deque of (BackendRef, list of Cell)
        Those not yet begun.
    begun : bool
        Whether a process has been started for it.
    """

    modules: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)
    left: deque[tuple[BackendRef, list[Cell]]] = field(default_factory=deque)
    begun: bool = False

    def admits(self, declaration: Declaration) -> bool:
        """Return whether a backend imports what the others do, and contradicts none of them."""
        wanted, roots = declaration.environment, _roots(declaration)
        agrees = all(self.environment.get(name, value) == value for name, value in wanted.items())
        return agrees and (not roots or not self.modules.isdisjoint(roots))

    def join(self, declaration: Declaration) -> None:
        """Add what a backend imports and wants."""
        self.modules |= _roots(declaration)
        self.environment |= declaration.environment


class Companies:
    """The backends of a plan by company, handed out one at a time to whoever has a process free."""

    def __init__(self, plan: Mapping[BackendRef, list[Cell]]) -> None:
        self._lock = threading.Lock()
        self._companies: list[Company] = []
        known = _declarations(plan) if len(plan) > 1 else {}
        for ref, cells in plan.items():
            self._company(known.get(ref)).left.append((ref, cells))

    def numbers(self) -> dict[str, int]:
        """Return the number of the company of each backend not yet begun, by the backend's name."""
        return {ref.name: number for number, company in enumerate(self._companies) for ref, _ in company.left}

    def _company(self, declaration: Declaration | None) -> Company:
        """Return the first company that admits a backend, or a new one."""
        found = (each for each in self._companies if declaration is not None and each.admits(declaration))
        company = next(found, None)
        if company is None:
            company = Company()
            self._companies.append(company)
        if declaration is not None:
            company.join(declaration)
        return company

    def next(self, last: Company | None) -> tuple[Company, BackendRef, list[Cell]] | None:
        """Return a backend of the `last` company, else of the largest that nobody has begun, else of one to be shared.

        None where nothing is left that would be worth another process.
        """
        with self._lock:
            company = last if last is not None and last.left else self._another()
            if company is None:
                return None
            company.begun = True
            return company, *company.left.popleft()

    def _another(self) -> Company | None:
        waiting = [company for company in self._companies if company.left]
        fresh = [company for company in waiting if not company.begun]
        large = [company for company in waiting if _cells_left(company) >= WORTH_A_START]
        return max(fresh or large, key=_cells_left, default=None)


def _cells_left(company: Company) -> int:
    return sum(len(cells) for _, cells in company.left)


def _roots(declaration: Declaration) -> set[str]:
    return {name.split(".")[0] for name in declaration.modules} - IN_EVERY_WORKER


def _declarations(refs: Iterable[BackendRef]) -> dict[BackendRef, Declaration]:
    """Return what adapters of this distribution declare; one that does not import is for its worker to report."""
    points, found = registered(), {}
    for ref in refs:
        point = points.get(ref.target) if ref.kind == "registered" else None
        if point is not None and point.dist is not None and point.dist.name == DISTRIBUTION:
            with contextlib.suppress(ImportError):
                found[ref] = point.load().declaration
    return found
