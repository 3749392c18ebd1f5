"""Sizes of a run: ``smoke`` for a port that was just started, ``core`` for every commit, ``full`` for a release."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lcl_ref.suite.cases import select
from lcl_ref.suite.cases.model import Case

SMOKE = (
    "0d/linear/position-bias",
    "1d/plain/odd-kernel",
    "1d/tiling/position-bias",
    "1d/shared/stride",
    "2d/plain/square",
    "2d/kernel/row",
    "2d/tiling/channel-bias",
    "2d/shared/all",
    "3d/plain/channel-bias",
)
"""Small plain layers: every adapter supports some of them, whatever its limits."""

TIERS: dict[str, Callable[[Case], bool]] = {
    "smoke": lambda case: case.id in SMOKE,
    "core": lambda case: case.values != "rounded" and case.spec.rank < 3,
    "full": lambda case: True,  # noqa: ARG005 -- a predicate
}
"""Tier -> whether a case belongs to it; ``core`` is exact arithmetic up to rank 2."""


def in_tier(tier: str, globs: Sequence[str] = ()) -> list[str]:
    """Return the ids of the cases in `tier` that match `globs`, all of them without globs.

    Raises
    ------
    LclError
        If a glob matches no case at all.
    """
    return [case.id for case in select(globs) if TIERS[tier](case)]
