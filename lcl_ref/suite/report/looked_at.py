"""How much a run looked at: the share of the cells a layer was asked, and the deviations it could not have shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcl_ref.suite.diagnosis.not_seen import FRESH_TRIED, Asked, not_seen
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.drawn_cases import existing, is_fresh
from lcl_ref.suite.run.settings import BackendReport

NARROW = 0.5
"""A layer that is asked a smaller share of the cells is told what that leaves out."""

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

    def to_dict(self) -> dict[str, Any]:
        """Return what a report says of it."""
        return {
            "asked": self.cells,
            "asked_share": self.share,
            "asked_fresh": self.fresh,
            "not_seen": list(self.not_seen),
        }


def looked_at(
    backends: Iterable[BackendReport], outcomes: Sequence[Outcome], store: Store, *, naming: bool = True
) -> dict[str, LookedAt]:
    """Return how much of each backend that is there a run looked at; `naming` says whether deviations are named."""
    of_backend: Mapping[str, list[Outcome]] = {
        backend.name: [] for backend in backends if backend.availability == "present"
    }
    for outcome in outcomes:
        if outcome.backend in of_backend:
            of_backend[outcome.backend].append(outcome)
    found = {name: _counted(name, answers) for name, answers in of_backend.items()}
    narrow = [name for name, one in found.items() if one.narrow] if naming else []
    for name in narrow:
        one = found[name]
        unseen = tuple(not_seen(_asked(of_backend[name], store), max(1, FRESH_TRIED // len(narrow))))
        found[name] = LookedAt(name, one.cells, one.of, one.fresh, unseen)
    return found


def _counted(name: str, outcomes: Sequence[Outcome]) -> LookedAt:
    answered = [outcome for outcome in outcomes if outcome.state in ANSWERED]
    fresh = sum(is_fresh(outcome.case) for outcome in answered)
    golden = sum(not is_fresh(outcome.case) for outcome in outcomes)
    return LookedAt(name, len(answered) - fresh, golden, fresh)


def _asked(outcomes: Iterable[Outcome], store: Store) -> Asked:
    answered = [outcome for outcome in outcomes if outcome.state in ANSWERED]
    golden = {outcome.case for outcome in answered if not is_fresh(outcome.case)}
    return Asked(
        cells=frozenset((outcome.case, outcome.op) for outcome in answered if outcome.case in golden),
        layers=[(store.spec(case), store.entries[case]["batch"]) for case in sorted(golden)],
        fresh=[existing(case) for case in sorted({outcome.case for outcome in answered} - golden)],
        ops=frozenset(outcome.op for outcome in answered),
    )
