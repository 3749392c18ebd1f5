"""What a run asks by the words of a user: cells of the golden data, checks, and fresh cases."""

from __future__ import annotations

from collections.abc import Sequence

from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.checks.choosing import chosen
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.cells import RunPlan, asked_dtypes, make_plan
from lcl_ref.suite.run.drawn_cases import Fresh, existing, is_fresh
from lcl_ref.suite.run.loading import BackendRef

LAYERS, LAYERS_OF_NARROW = 8, 32
"""Fresh layers that a backend is asked unless the user says how many."""


def fresh_cases(
    seed: int, count: int | None, tier: str, cases: Sequence[str], dtypes: Sequence[str], ops: Sequence[str]
) -> Fresh | None:
    """Return which fresh cases a run draws, by the words of the command line."""
    usual = tier != "smoke" and not cases
    fewest, most = (count, count) if count is not None else (LAYERS * usual, LAYERS_OF_NARROW * usual)
    if not fewest:
        return None
    return Fresh(seed, fewest, most, list(dtypes), [op for op in OPS if not ops or op in ops])


def planned(
    refs: Sequence[BackendRef],
    store: Store,
    cases: Sequence[str],
    dtypes: Sequence[str],
    ops: Sequence[str],
    tier: str,
    *,
    checks: bool = True,
) -> RunPlan:
    """Return the cells of the golden data that are asked, of the checks, and of the fresh cases that are named.

    Raises
    ------
    LclError
        If a name or glob matches nothing.
    """
    globs, named = [case for case in cases if not is_fresh(case)], [case for case in cases if is_fresh(case)]
    plan: RunPlan = {ref: [] for ref in refs}
    if globs or not named:
        ids = chosen(tier, globs) if checks else in_tier(tier, globs)
        plan = make_plan(refs, store, ids, dtypes, ops, tier)
    for ref, cells in plan.items():
        cells += [
            Cell(ref.name, name, op, dtype)
            for name in named
            for dtype in asked_dtypes(ref, dtypes)
            if existing(name).amplitude(dtype)
            for op in OPS
            if not ops or op in ops
        ]
    return plan
