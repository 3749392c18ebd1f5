"""Choosing few cases that are enough: the cheapest cover, from which `lcl_ref/suite/cases/tiers.toml` was written.

Both tiers kill every deviation as often as `lcl_ref.suite.validation.mutants.PROMISED`. The smoke tier also asks every
adapter; the core tier holds it and asks for every legal pair of settings (SPEC clause 11.6). An integer program chooses
each, so that no cheaper choice keeps the same promises. Both are stored as data: a run needs neither kill matrix nor
solver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import ALSO, FIRST
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.run.cells import make_plan, supports
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.registry import declarations
from lcl_ref.suite.validation.mutants import PROMISED, KillMatrix

Need = tuple[frozenset[str], int]
"""Ids of cases, and how many of them must be chosen, as far as there are so many."""


class Layer(NamedTuple):
    """What an adapter prepares once for all operations: the layer of a case in a dtype."""

    adapter: str
    case: str
    dtype: str


@cache
def layers(store: Store) -> set[Layer]:
    """Return the layers that adapters would prepare for all cases, in the dtypes that decide."""
    can = {declaration.name: declaration.capabilities for declaration in declarations()}
    plan = make_plan(resolve([]), store, tier="smoke")
    cells = ((ref.name, cell) for ref, asked in plan.items() for cell in asked)
    return {Layer(name, cell.case, cell.dtype) for name, cell in cells if supports(can[name], cell, store)}


def prices(asked: Iterable[Layer]) -> Counter[str]:
    """Return case -> how many layers are prepared for it: frameworks take longer over that than over any operation."""
    return Counter(layer.case for layer in asked)


def cheapest(needs: Sequence[Need], price: Mapping[str, int]) -> tuple[str, ...]:
    """Return cases that meet every need as far as it can be met, at the lowest sum of prices, in catalogue order.

    Cases of sizes and of public bugs are there for one thing each, and asked in few formats: names alone choose them.
    """
    named = frozenset().union(*(wanted for wanted, _ in needs if len(wanted) == 1))
    ids = [case.id for case in CASES if case.id in named or not (case.generated or case.topic == "history")]
    rows = np.array([[name in wanted for name in ids] for wanted, _ in needs], float)
    least = [min(times, int(row.sum())) for (_, times), row in zip(needs, rows, strict=True)]
    found = milp(
        [price[name] for name in ids],
        integrality=np.ones(len(ids)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(rows, lb=least),
    )
    return tuple(name for name, chosen in zip(ids, found.x, strict=True) if round(chosen))


def choose_smoke(matrix: KillMatrix, asked: Collection[Layer]) -> tuple[str, ...]:
    """Return the smoke tier, of which `asked` are the layers."""
    takes: dict[str, set[str]] = {}
    for layer in asked:
        takes.setdefault(layer.adapter, set()).add(layer.case)
    needs = [*_each(FIRST), *((frozenset(cases), 1) for cases in takes.values()), *_kills(matrix, "smoke")]
    return cheapest(needs, prices(asked))


def choose_core(
    matrix: KillMatrix, asked: Collection[Layer], smoke: Iterable[str], pairs: Iterable[Iterable[str]]
) -> tuple[str, ...]:
    """Return the core tier, of which `asked` are the layers, around `smoke`; `pairs` are the cases of each pair."""
    needs = [*_each(smoke), *_each(ALSO), *((frozenset(cases), 1) for cases in pairs), *_kills(matrix, "core")]
    return cheapest(needs, prices(asked))


def _each(ids: Iterable[str]) -> list[Need]:
    return [(frozenset({name}), 1) for name in ids]


def _kills(matrix: KillMatrix, tier: str) -> list[Need]:
    return [(cases, PROMISED[tier]) for cases in matrix.killers_by_op.values()]
