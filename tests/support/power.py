"""Asking a layer the cases of before, and those that were added to see more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import lcl_ref as lcl
from lcl_ref.core import batched
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.user_layer import UserAdapter
from tests.support.kills import STORE

Arrays = dict[str, np.ndarray]
Changed = Callable[[lcl.Spec, Arrays], None]

ADDED = ("sizes", "triples", "families", "history")
"""Topics of the cases that were added."""


def before() -> list[Case]:
    """Return the real cases that there were before, the ones with infinities at the edges left out."""
    return [case for case in CASES if case.topic not in (*ADDED, "complex") and "/edges" not in case.id]


def of_topic(topic: str) -> list[Case]:
    return [case for case in CASES if case.topic == topic]


def outcomes(layer: Any, cases: Iterable[Case], ops: Sequence[str] = ("forward", "vjp")) -> list[Outcome]:
    """Return the verdicts on a layer in float32, without what it does not support."""
    evaluator = Evaluator(UserAdapter("layer", layer), STORE)
    cells = [Cell("layer", case.id, op, "float32") for case in cases for op in ops]
    found = [evaluator.judge(cell) for cell in cells if cell_exists(STORE.entries[cell.case], cell.op, cell.dtype)]
    return [outcome for outcome in found if outcome.state != "unsupported"]


def failing(found: Iterable[Outcome]) -> set[str]:
    return {outcome.case for outcome in found if outcome.state != "pass"}


class Layer:
    """A right layer, or one that is wrong as `wrong` changes its results, where it does."""

    def __init__(self, wrong: Changed | None = None) -> None:
        self.wrong = wrong

    def _returned(self, spec: lcl.Spec, results: Arrays) -> Arrays:
        if self.wrong:
            self.wrong(spec, results)
        return results

    def forward(self, spec: lcl.Spec, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            y = batched.forward(spec, x.astype(float), weight.astype(float), bias).astype(x.dtype)
        return self._returned(spec, {"y": y})["y"]

    def vjp(self, spec: lcl.Spec, x: np.ndarray, weight: np.ndarray, bias: Any, dy: np.ndarray) -> tuple[Any, ...]:
        wide = batched.vjp(spec, x.astype(float), weight.astype(float), dy.astype(float))
        results = {
            name: array.astype(x.dtype)
            for name, array in zip(("dx", "dw", "db"), wide, strict=True)
            if array is not None
        }
        found = self._returned(spec, results)
        return found["dx"], found["dw"], found.get("db")
