"""The kill matrix of all cases, computed once for the tests that read it."""

from __future__ import annotations

from functools import cache

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.validation.mutants import KillMatrix, kill_matrix

STORE = Store(default_root())


@cache
def matrix() -> KillMatrix:
    return kill_matrix(STORE)
