"""Which cases and checks a run holds, by the words of the user."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.checks.catalogue import CHECKS


def chosen(tier: str, globs: Sequence[str] = ()) -> list[str]:
    """Return the ids of cases and checks of a run: those of `tier` that match `globs`, all of them without globs.

    The smoke tier holds no checks.

    Raises
    ------
    LclError
        If a glob matches neither a case nor a check, or nothing is left.
    """
    checks, for_cases = checks_and_globs_of_cases(globs)
    cases = in_tier(tier, for_cases) if for_cases or not globs else []
    found = cases + (checks if tier != "smoke" else [])
    if not found:
        raise LclError(Violation("tier/empty", "case", ", ".join(globs), f"a glob that matches a case of tier {tier}"))
    return found


def checks_and_globs_of_cases(globs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ids of checks that `globs` match, all of them without globs, and the globs that may match cases."""
    checks = [name for name in CHECKS if not globs or any(fnmatchcase(name, glob) for glob in globs)]
    return checks, [glob for glob in globs if not _only_checks(glob)]


def _only_checks(glob: str) -> bool:
    """Return whether a glob matches checks and no case."""
    return any(fnmatchcase(name, glob) for name in CHECKS) and not any(fnmatchcase(case.id, glob) for case in CASES)
