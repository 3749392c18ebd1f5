"""Which cells a run asks: backends x cases x operations x dtypes, as far as the golden data answers them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from lcl_ref.suite.adapter import OPS, Capabilities
from lcl_ref.suite.cases import select
from lcl_ref.suite.cases.tiers import asks
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.loading import BackendRef, Kind
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

    Without `dtypes`, backends that declare theirs are asked in all of them, other layers in `DEFAULT_DTYPES`, as far as
    `tier` goes; which cases it holds is for `in_tier` to say.

    Raises
    ------
    LclError
        If a case glob matches nothing.
    """
    entries = [store.entries[case.id] for case in select(list(case_globs)) if case.id in store.entries]
    chosen_ops = [op for op in OPS if not ops or op in ops]
    plan: RunPlan = {}
    for ref in refs:
        asked = asked_dtypes(ref, dtypes)
        plan[ref] = [
            Cell(ref.name, entry["id"], op, dtype)
            for entry in entries
            for dtype in asked
            for op in chosen_ops
            if cell_exists(entry, op, dtype) and (dtypes or asks(tier, entry["values"], dtype))
        ]
    return plan


def asked_dtypes(ref: BackendRef, dtypes: Sequence[str]) -> Sequence[str]:
    """Return `dtypes`, or without them those that a backend is asked in."""
    return dtypes or (ALL_DTYPES if ref.kind in DECLARING else DEFAULT_DTYPES)


def matches(name: str, words: Sequence[str]) -> bool:
    """Return whether `name` is one of `words`, a variant of one, or matches one as a glob."""
    return any(fnmatch.fnmatchcase(name, word) or name.startswith(f"{word}.") for word in words)


def supports(capabilities: Capabilities, cell: Cell, store: Store) -> bool:
    """Return whether declared capabilities cover a cell of the golden data."""
    tags = store.entries[cell.case]["tags"]
    return capabilities.refusal(store.spec(cell.case), cell.dtype, cell.op, tags) is None
