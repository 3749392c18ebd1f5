"""Sizes of a run: ``smoke`` for a port that was just started, ``core`` for every commit, ``full`` for a release.

The smaller tiers are as small as their promises allow (`lcl_ref.suite.cases.tiers`, which is data).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.cases import select, tiers
from lcl_ref.suite.cases.model import Case

TIERS: dict[str, Callable[[Case], bool]] = {
    "smoke": lambda case: case.id in tiers.SMOKE,
    "core": lambda case: case.id in tiers.CORE,
    "full": lambda case: True,  # noqa: ARG005 -- a predicate
}
"""Tier -> whether a case belongs to it."""


def tier_of(case: Case) -> str:
    """Return the smallest tier that holds `case`."""
    return next(name for name, holds in TIERS.items() if holds(case))


def in_tier(tier: str, globs: Sequence[str] = ()) -> list[str]:
    """Return the ids of the cases in `tier` that match `globs`, all of them without globs.

    Raises
    ------
    LclError
        If a glob matches no case at all, or none of the tier does.
    """
    ids = [case.id for case in select(globs) if TIERS[tier](case)]
    if not ids:
        raise LclError(Violation("tier/empty", "case", ", ".join(globs), f"a glob that matches a case of tier {tier}"))
    return ids
