"""How much a run looked at: the share of the cells a layer was asked, and the deviations it could not have shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.diagnosis.not_seen import FRESH_TRIED, Asked, not_seen
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.drawn_cases import existing, is_fresh
from lcl_ref.suite.run.settings import BackendReport

NARROW = 0.5
"""A layer that is asked a smaller share of the cells is told what that leaves out."""

SHOWN_NAMES = 6
"""Deviations that a sentence names."""

ANSWERED = ("pass", "fail", "error")


@dataclass(frozen=True)
class LookedAt:
    """How much of one backend a run looked at.

    Parameters
    ----------
    backend : str
        Its name.
    cells, of : int
        Cells of the golden data that it was asked, and that there are.
    fresh : int
        Cells of fresh cases that it was asked.
    not_seen : tuple of str
        Known deviations that could be in it, and that nothing it was asked shows.
    """

    backend: str
    cells: int
    of: int
    fresh: int
    not_seen: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """The share of the cells that it was asked; None where there are none."""
        return self.cells / self.of if self.of else None

    @property
    def narrow(self) -> bool:
        """Whether the share is small."""
        return self.share is not None and self.share < NARROW and self.cells + self.fresh > 0

    @property
    def sentence(self) -> str:
        """How much that is, in words."""
        fresh = f" and {self.fresh} fresh ones" if self.fresh else ""
        return f"{self.backend}: asked {self.cells} of {self.of} cells ({100 * (self.share or 0):.1f} %){fresh}"

    @property
    def not_seen_sentence(self) -> str:
        """What could not have been seen, in words; the JSON report has all names."""
        count = len(self.not_seen)
        names = ", ".join(self.not_seen[:SHOWN_NAMES]) + (
            f", and {count - SHOWN_NAMES} more" if count > SHOWN_NAMES else ""
        )
        return f"{count} known mistakes that it may have show in none of them: {names}"

    def to_dict(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {
            "asked": self.cells,
            "asked_share": self.share,
            "asked_fresh": self.fresh,
            "not_seen": list(self.not_seen),
        }


def looked_at(
    backends: Iterable[BackendReport],
    outcomes: Sequence[Outcome],
    store: Store,
    *,
    naming: bool = True,
    of: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, LookedAt]:
    """Return how much of each backend that is there a run looked at; checks do not count.

    Parameters
    ----------
    backends, outcomes, store
        The run.
    naming : bool
        Whether deviations are named.
    of : mapping of str to int
        Backend -> how many cells of the golden data there are, where that is not the number of its outcomes.
    """
    of_backend: Mapping[str, list[Outcome]] = {
        backend.name: [] for backend in backends if backend.availability == "present"
    }
    for outcome in outcomes:
        if outcome.backend in of_backend and outcome.case not in CHECKS:
            of_backend[outcome.backend].append(outcome)
    found = {name: _counted(name, answers, of.get(name)) for name, answers in of_backend.items()}
    narrow = [name for name, one in found.items() if one.narrow] if naming else []
    for name in narrow:
        one = found[name]
        unseen = tuple(not_seen(_asked(of_backend[name], store), max(1, FRESH_TRIED // len(narrow))))
        found[name] = LookedAt(name, one.cells, one.of, one.fresh, unseen)
    return found


def _counted(name: str, outcomes: Sequence[Outcome], of: int | None) -> LookedAt:
    answered = [outcome for outcome in outcomes if outcome.state in ANSWERED]
    fresh = sum(is_fresh(outcome.case) for outcome in answered)
    golden = sum(not is_fresh(outcome.case) for outcome in outcomes)
    return LookedAt(name, len(answered) - fresh, golden if of is None else of, fresh)


def _asked(outcomes: Iterable[Outcome], store: Store) -> Asked:
    answered = [outcome for outcome in outcomes if outcome.state in ANSWERED]
    golden = {outcome.case for outcome in answered if not is_fresh(outcome.case)}
    return Asked(
        cells=frozenset((outcome.case, outcome.op) for outcome in answered if outcome.case in golden),
        layers=[(store.spec(case), store.entries[case]["batch"]) for case in sorted(golden)],
        fresh=[existing(case) for case in sorted({outcome.case for outcome in answered} - golden)],
        ops=frozenset(outcome.op for outcome in answered),
    )
