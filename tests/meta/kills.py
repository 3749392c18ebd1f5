"""The kill matrix of all cases, computed once for the tests that read it."""

from __future__ import annotations

from functools import cache

from lcl_ref.suite.fixtures import default_root
from lcl_ref.suite.mutants import KillMatrix, kill_matrix
from lcl_ref.suite.store import Store

STORE = Store(default_root())


@cache
def matrix() -> KillMatrix:
    return kill_matrix(STORE)
