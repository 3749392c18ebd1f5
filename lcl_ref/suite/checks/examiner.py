"""Judging cells that are checks, inside the process of the layer, which they are about (SPEC clause 12.10)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from lcl_ref.suite.adapter import Adapter, Unsupported
from lcl_ref.suite.checks.catalogue import CHECKS, Check
from lcl_ref.suite.checks.subject import Subject
from lcl_ref.suite.checks.surroundings import state_at_load
from lcl_ref.suite.checks.variants import Asked
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.ask import finding
from lcl_ref.suite.judge.outcome import Cell, Outcome, outcome
from lcl_ref.suite.judge.tasks import cell_exists, load_task

PREFERRED = (
    "2d/padding/int-per-axis",
    "1d/tiling/position-bias",
    "3d/kernel/whole-input",
    "0d/linear/position-bias",
    "2d/channels/one-input",
    "1d/padding/uneven-pair",
    "3d/padding/mixed",
    "0d/groups/diagonal-multiplier",
)
"""Layers that are asked about before all others: with overlapping windows, with windows that are a reshape, and with
one channel."""

PER_RANK = 2
"""Layers of each rank that checks choose from, the first of every rank before the second of any."""


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
        self._adapter, self.store, self._seed = adapter, store, seed
        self._at_load = state_at_load() if alone else {}
        self._key, self._subject = ("", ""), Subject(adapter, seed, self._at_load)
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
        check = CHECKS[cell.case]
        try:
            layers = self._offered(check, cell.op, cell.dtype)
        except Unsupported:
            return False
        try:
            self._require(check, cell.dtype, layers)
        except Unsupported:
            return False
        except Exception:  # noqa: BLE001 -- the layer under test may raise anything, and says so when it is asked
            return True
        return True

    def _facts(self, check: Check, op: str, dtype: str) -> dict[str, Any]:
        layers = self._offered(check, op, dtype)
        self._require(check, dtype, layers)
        self._subject.error_ratio = 0.0
        check.ask(self._subject, layers, op)
        return {"state": "pass", "error_ratio": self._subject.error_ratio}

    def _require(self, check: Check, dtype: str, layers: list[Asked]) -> None:
        """Have the layer at hand on behalf of a check; it raises what `Check.requires` does."""
        if self._key != (check.id, dtype):
            self._key, self._subject = (check.id, dtype), Subject(self._adapter, self._seed, self._at_load)
        if check.requires is not None:
            check.requires(self._subject, layers)

    def _offered(self, check: Check, op: str, dtype: str) -> list[Asked]:
        """Return the layers to ask about, chosen once.

        Raises
        ------
        Unsupported
            If the backend declines the check, or offers none of them.
        """
        reason = check.refusal(self._adapter.declaration.capabilities.declines)
        if reason is not None:
            raise Unsupported(reason)
        if (op, dtype) not in self._layers:
            self._layers[op, dtype] = self._choose(op, dtype)
        return self._layers[op, dtype][: check.most]

    def _choose(self, op: str, dtype: str) -> list[Asked]:
        can = self._adapter.declaration.capabilities
        reason, of_rank = "no layer of the golden data", defaultdict[int, list[Asked]](list)
        for case, entry in self._candidates():
            found = of_rank[len(entry["spec"]["input_size"])]
            if len(found) == PER_RANK or not cell_exists(entry, op, dtype):
                continue
            refused = can.refusal(self.store.spec(case), dtype, op, entry["tags"])
            if refused is None:
                found.append(self._layer(case, dtype))
            reason = refused or reason
        layers = [found[place] for place in range(PER_RANK) for found in of_rank.values() if place < len(found)]
        if not layers:
            raise Unsupported(reason)
        return layers

    def _candidates(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield exact cases with more than one sample, preferred ones first."""
        for case in dict.fromkeys((*PREFERRED, *self.store.entries)):
            entry = self.store.entries[case]
            if entry["values"] == "exact" and entry["batch"] > 1:
                yield case, entry
