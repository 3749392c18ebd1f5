"""Sizes of a run: ``smoke`` for a port that was just started, ``core`` for every commit, ``full`` for a release.

The smaller tiers are as small as their promises allow: ``tiers.toml`` lists them, and `asks` says in which dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import CASES, select
from lcl_ref.suite.cases.loader import FOLDER
from lcl_ref.suite.cases.tables import parsed

FILE = "tiers.toml"


def in_order(*lists: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of all lists in the order of the catalogue.

    Raises
    ------
    LclError
        If no case has one of these ids.
    """
    listed = {name for names in lists for name in names}
    found = tuple(case.id for case in CASES if case.id in listed)
    if unknown := sorted(listed - set(found)):
        raise LclError(Violation("tier/unknown", "case", ", ".join(unknown), "ids that `lcl cases` lists"), FILE)
    return found


_LISTS = parsed(FOLDER / FILE)

FIRST = in_order(_LISTS["first"])
"""Cases of every tier."""

SMOKE = in_order(FIRST, _LISTS["smoke"])
"""Cases of the smoke tier."""

ALSO = in_order(_LISTS["also"])
"""Cases of the core tier for what no deviation of the catalogue shows."""

CORE = in_order(SMOKE, ALSO, _LISTS["core"])
"""Cases of the core tier."""

EVERY_DTYPE = in_order(FIRST, _LISTS["every_dtype"])
"""Cases that the core tier asks in every dtype, so that each setting stands with each dtype."""

TIERS: dict[str, Callable[[Case], bool]] = {
    "smoke": lambda case: case.id in SMOKE,
    "core": lambda case: case.id in CORE,
    "full": lambda case: True,  # noqa: ARG005 -- a predicate
}
"""Tier -> whether a case belongs to it."""

DECIDING = {"rounded": ("float32", "float64"), "complex": ("complex64",)}
"""Kind of values -> the dtypes that tell right formulas from wrong ones."""

EXACT_DTYPES = ("float32",)
"""The same for every other kind: such values are equal in all dtypes."""


def deciding_dtypes(values: str) -> tuple[str, ...]:
    """Return the dtypes in which a case with this kind of values shows every mistake that it can show in any.

    Mistakes of a dtype itself, such as sums kept in half precision, are for the other tiers.
    """
    return DECIDING.get(values, EXACT_DTYPES)


def asks(tier: str, case: Case, dtype: str) -> bool:
    """Return whether a tier asks a case in `dtype`.

    The smoke tier asks in the dtypes that decide; the core tier asks more of `EVERY_DTYPE`, and of numbers of a kind of
    their own, which are about dtypes.
    """
    few = tier == "smoke" or (tier == "core" and case.id not in EVERY_DTYPE and not case.operands)
    return not few or dtype in deciding_dtypes(case.values)


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
