"""Which case kills which known mistake: as the suite stores it, and computed anew for some of the cases."""

from __future__ import annotations

from functools import cache

from lcl_ref.suite.cases.catalogue import CASES, select
from lcl_ref.suite.cases.tiers import CORE
from lcl_ref.suite.diagnosis import not_seen
from lcl_ref.suite.diagnosis.deviations import CATALOGUE
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.validation.mutants import KillMatrix, kill_matrix

STORE = Store(default_root())

EVERY = 20
"""Of the cases outside of the core tier, one in so many is computed anew."""


@cache
def matrix() -> KillMatrix:
    """Return the stored table as a matrix of nothing but kills; test_mutants.py holds it against computed ones."""
    kills = not_seen.stored()
    known = frozenset(not_seen.stored_cases())
    cases = tuple(case for case in CASES if case.id in known)
    return KillMatrix(
        CATALOGUE, cases, {(name, case, op): "killed" for (name, op), seen in kills.items() for case in seen}
    )


@cache
def computed() -> KillMatrix:
    """Return the matrix of the core tier and of a sample of the other cases."""
    sample = [case.id for case in matrix().cases if case.id not in CORE][::EVERY]
    return kill_matrix(STORE, select([*CORE, *sample]))
