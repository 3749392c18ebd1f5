"""Which bugs of the catalogue a run sees: by a cell of the core tier, by one of any case, or by a check.

Whatever does not meet the trigger of a bug gets the right answer, so only what meets it is asked. Fresh cases, which
are others in every run, are left out. What sees each bug first stands in ``seen.json`` (`lcl mutants --history`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.user_layer import UserAdapter
from lcl_ref.suite.validation.history import triggers
from lcl_ref.suite.validation.history.catalogue import Bug, bugs
from lcl_ref.suite.validation.history.mutants import Mutant

PROMISED = 0.95
"""Share of the bugs that some case or check has to see."""

CHECKED_IN = "float32"

BEFORE = "1d/batch/five"
"""What is asked first where a bug needs earlier calls: of a run only cells that meet its condition are asked here."""

FILE = Path(__file__).parent / "seen.json"


@dataclass(frozen=True)
class Seen:
    """What sees a bug first, in the core tier and in all: ``case op dtype``, of a case or a check, or nothing."""

    bug: Bug
    core: str
    full: str


def table(found: Sequence[Seen]) -> dict[str, list[str]]:
    """Return what `FILE` holds: bug -> what sees it in the core tier, and in all."""
    return {one.bug.id: [one.core, one.full] for one in found}


def stored() -> list[Seen]:
    """Return what sees each bug, as it was found before."""
    known = json.loads(FILE.read_text("utf-8"))
    return [Seen(bug, *known.get(bug.id, ["", ""])) for bug in bugs()]


def shows(store: Store, bug: Bug, words: str) -> bool:
    """Return whether what saw a bug before sees it still, by itself; a bug of calls before shows so in checks only."""
    case, op, dtype = words.split()
    cell = Cell(bug.id, case, op, dtype)
    return fails_check(store, bug, cell) if case in CHECKS else fails(store, bug, None, cell)


def seen(store: Store, bug: Bug) -> Seen:
    """Return what sees a bug: checks first, which are in both tiers."""
    core = _first(checks_of(bug), partial(fails_check, store, bug)) or _first_cell(store, bug, "core")
    return Seen(bug, core, core or _first_cell(store, bug, "full"))


def _first_cell(store: Store, bug: Bug, tier: str) -> str:
    """Ask one layer all cells in turn where it depends on earlier calls, else a new layer each."""
    evaluator = Evaluator(UserAdapter(bug.id, Mutant(bug)), store) if bug.after else None
    if evaluator is not None:
        fails(store, bug, evaluator, Cell(bug.id, BEFORE, bug.ops[0], CHECKED_IN))
    return _first(cells_of(store, bug, tier), partial(fails, store, bug, evaluator))


def _first(cells: Iterator[Cell], failing: Callable[[Cell], bool]) -> str:
    return next((f"{cell.case} {cell.op} {cell.dtype}" for cell in cells if failing(cell)), "")


def checks_of(bug: Bug) -> Iterator[Cell]:
    """Yield the checks that may show a bug: those of memory and state, where it depends on these."""
    for check in CHECKS.values() if bug.laid or bug.after or bug.writes else ():
        if not (check.programs == "only" or check.requires):
            yield from (Cell(bug.id, check.id, op, CHECKED_IN) for op in check.ops if op in bug.ops)


def cells_of(store: Store, bug: Bug, tier: str) -> Iterator[Cell]:
    """Yield the cells of a tier in which a bug shows; operands of cells are contiguous."""
    for case in in_tier(tier) if not bug.laid else ():
        entry, spec = store.entries[case], store.spec(case)
        for dtype, op in product(DTYPES, bug.ops):
            if cell_exists(entry, op, dtype) and triggers.holds(bug.when, spec, entry["batch"], dtype):
                yield Cell(bug.id, case, op, dtype)


def fails_check(store: Store, bug: Bug, cell: Cell) -> bool:
    """Return whether a check fails."""
    with np.errstate(all="ignore"):
        examiner = Examiner(UserAdapter(bug.id, Mutant(bug)), store, 0, alone=False)
        return examiner.judge(cell).state in ("fail", "error")


def fails(store: Store, bug: Bug, evaluator: Evaluator | None, cell: Cell) -> bool:
    """Return whether a cell fails, by default in a new layer."""
    with np.errstate(all="ignore"):
        found = (evaluator or Evaluator(UserAdapter(bug.id, Mutant(bug)), store)).judge(cell)
    return found.state in ("fail", "error")


def unexplained(found: Sequence[Seen]) -> list[str]:
    """Return what is missing, a line each: reasons of bugs that nothing sees, bugs that are seen in spite of one."""
    unseen = [one.bug.id for one in found if not (one.full or one.bug.miss)]
    denied = [one for one in found if one.full and one.bug.miss]
    count = sum(bool(one.full) for one in found)
    short = f"{count} of {len(found)} bugs are seen, promised {PROMISED:.0%}"
    return [
        *(f"{name}: nothing sees it, and no reason is given" for name in unseen),
        *(f"{one.bug.id}: {one.full} sees it, which `miss` denies" for one in denied),
        *([short] if count < PROMISED * len(found) else []),
    ]
