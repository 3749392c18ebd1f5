"""Which cells a run asks: backends x cases x operations x dtypes, as far as the golden data answers them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from lcl_ref.errors import FixtureError
from lcl_ref.suite.adapter import OPS, Capabilities
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.cases.tiers import asks
from lcl_ref.suite.checks.catalogue import CHECKS, Check
from lcl_ref.suite.formats import ALL_DTYPES, DTYPES
from lcl_ref.suite.golden.store import Store, lacking
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.loading import BackendRef, Kind
from lcl_ref.suite.run.registered import family_of, registered
from lcl_ref.suite.run.user_layer import DEFAULT_DTYPES

DECLARING: tuple[Kind, ...] = ("registered", "exec")
"""Kinds of backends that declare their dtypes."""

RunPlan = dict[BackendRef, list[Cell]]


def make_plan(
    refs: Sequence[BackendRef],
    store: Store,
    case_globs: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    ops: Sequence[str] = (),
    tier: str = "full",
) -> RunPlan:
    """Return the cells of each backend, cases in catalogue order, the operations of one case and dtype together.

    Checks among `case_globs`, which are ids then, come after the cases, in `dtypes` or in what `dtypes_of_checks` says.
    Without `dtypes`, backends that declare theirs are asked in all of them, other layers in `DEFAULT_DTYPES`, as far as
    `tier` goes; which cases it holds is for `in_tier` to say.

    Raises
    ------
    LclError
        If a case glob matches nothing, or nothing that is stored.
    """
    checks = [check for check in CHECKS.values() if check.id in case_globs]
    globs = [glob for glob in case_globs if glob not in CHECKS]
    cases = select(globs) if globs or not checks else []
    stored = [case for case in cases if case.id in store.entries]
    if cases and not stored:
        raise FixtureError([lacking(case.id, store.root) for case in cases[:3]])
    chosen_ops = [op for op in OPS if not ops or op in ops]
    plan: RunPlan = {}
    for ref in refs:
        asked = asked_dtypes(ref, dtypes)
        plan[ref] = [
            Cell(ref.name, case.id, op, dtype)
            for case in stored
            for dtype in asked
            if dtypes or asks(tier, case, dtype)
            for op in chosen_ops
            if cell_exists(store.entries[case.id], op, dtype)
        ]
        plan[ref] += [
            Cell(ref.name, check.id, op, dtype)
            for check in checks
            if _is_asked(check, ref, tier)
            for dtype in dtypes_of_checks(ref.kind, dtypes)[: 1 if check.programs == "only" else None]
            for op in chosen_ops
            if op in check.ops
        ]
    return plan


def _is_asked(check: Check, ref: BackendRef, tier: str) -> bool:
    """Return whether a check is asked of a backend in a tier."""
    if check.programs != "too" and (ref.kind == "exec") != (check.programs == "only"):
        return False
    if not check.thorough or tier == "full" or ref.kind != "registered":
        return True
    one = registered(family_of(ref.target)).get(ref.target)
    return one is not None and one.readable and one.declaration.recommended


def dtypes_of_checks(kind: Kind, dtypes: Sequence[str]) -> list[str]:
    """Return the dtypes in which backends of a kind are checked: real ones of `dtypes`, else as few as are known."""
    if dtypes:
        return [dtype for dtype in dtypes if dtype in DTYPES]
    return [DEFAULT_DTYPES[0]] if kind == "registered" else list(DEFAULT_DTYPES)


def asked_dtypes(ref: BackendRef, dtypes: Sequence[str]) -> Sequence[str]:
    """Return `dtypes`, or without them those that a backend is asked in."""
    return dtypes or (ALL_DTYPES if ref.kind in DECLARING else DEFAULT_DTYPES)


def matches(name: str, words: Sequence[str]) -> bool:
    """Return whether `name` is one of `words`, a variant of one, or matches one as a glob."""
    return any(fnmatch.fnmatchcase(name, word) or name.startswith(f"{word}.") for word in words)


def supports(capabilities: Capabilities, cell: Cell, store: Store) -> bool:
    """Return whether declared capabilities cover a cell of the golden data."""
    if cell.case in CHECKS:
        declined = CHECKS[cell.case].refusal(capabilities.declines)
        return declined is None and cell.op in capabilities.ops and cell.dtype in capabilities.dtypes
    tags = store.entries[cell.case]["tags"]
    return capabilities.refusal(store.spec(cell.case), cell.dtype, cell.op, tags) is None
