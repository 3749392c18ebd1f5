"""Judging cells that are checks, beside `lcl_ref.suite.judge.evaluate`; runs inside the worker process of a backend."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from lcl_ref.suite.adapter import Adapter, Unsupported
from lcl_ref.suite.checks.catalogue import CHECKS, Check
from lcl_ref.suite.checks.subject import Subject
from lcl_ref.suite.checks.surroundings import state_at_load
from lcl_ref.suite.checks.variants import Asked
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import finding
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.judge.tasks import cell_exists, load_task

PREFERRED = (
    "2d/plain/tall-kernel",
    "1d/padding/uneven-pair",
    "3d/kernel/whole-input",
    "0d/linear/position-bias",
    "2d/tiling/position-bias",
    "1d/tiling/position-bias",
    "3d/tiling/position-bias",
    "0d/groups/diagonal-multiplier",
)
"""Layers that are asked about before all others: overlapping windows, then windows that are a reshape."""

PER_RANK = 2
"""Layers of each rank that are kept for checks to choose from."""


class Examiner:
    """Judges checks of one adapter.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    store : Store
        Golden data.
    seed : int
        For what checks draw.
    alone : bool
        Whether nothing but the layer changes the state of this process.
    """

    def __init__(self, adapter: Adapter, store: Store, seed: int, *, alone: bool = True) -> None:
        self.adapter, self.store, self._seed = adapter, store, seed
        self._at_load = state_at_load() if alone else {}
        self._layers: dict[tuple[str, str], list[Asked]] = {}
        self._layer = cache(lambda case, dtype: Asked(case, load_task(store, case, dtype)))

    def judge(self, cell: Cell) -> Outcome:
        """Return the outcome of one check; nothing a layer raises escapes."""
        began = time.perf_counter()
        try:
            facts = self._facts(CHECKS[cell.case], cell.op, cell.dtype)
        except Exception as error:  # noqa: BLE001 -- the layer under test may raise anything
            facts = finding(error)
        if facts["state"] in ("fail", "error"):
            facts["diagnosis"] = cell.case
        return outcome(cell, seconds=time.perf_counter() - began, **facts)

    def offers(self, cell: Cell) -> bool:
        """Return whether the layer declares nothing against a check."""
        try:
            self._offered(CHECKS[cell.case], cell.op, cell.dtype)
        except Unsupported:
            return False
        return True

    def _facts(self, check: Check, op: str, dtype: str) -> dict[str, Any]:
        layers = self._offered(check, op, dtype)
        subject = Subject(self.adapter, self._seed, self._at_load)
        check.ask(subject, layers, op)
        return {"state": "pass", "error_ratio": subject.error_ratio}

    def _offered(self, check: Check, op: str, dtype: str) -> list[Asked]:
        """Return the layers to ask about, chosen once.

        Raises
        ------
        Unsupported
            If the backend declines the check, or offers none of them.
        """
        reason = check.refusal(self.adapter.declaration.capabilities.declines)
        if reason is not None:
            raise Unsupported(reason)
        if (op, dtype) not in self._layers:
            self._layers[op, dtype] = list(self._choose(op, dtype))
        ranks, taken = Counter[int](), list[Asked]()
        for layer in self._layers[op, dtype]:
            ranks[layer.task.spec.rank] += 1
            if ranks[layer.task.spec.rank] <= check.per_rank and len(taken) < check.most:
                taken.append(layer)
        return taken

    def _choose(self, op: str, dtype: str) -> Iterator[Asked]:
        reason, count = "no layer of the golden data", Counter[int]()
        for case, entry in self._candidates():
            rank = len(entry["spec"]["input_size"])
            if count[rank] == PER_RANK or not cell_exists(entry, op, dtype):
                continue
            refused = self.adapter.declaration.capabilities.refusal(self.store.spec(case), dtype, op, entry["tags"])
            if refused is None:
                count[rank] += 1
                yield self._layer(case, dtype)
            reason = refused or reason
        if not count:
            raise Unsupported(reason)

    def _candidates(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield exact cases with more than one sample, preferred ones first."""
        for case in dict.fromkeys((*PREFERRED, *self.store.entries)):
            entry = self.store.entries[case]
            if entry["values"] == "exact" and entry["batch"] > 1:
                yield case, entry
