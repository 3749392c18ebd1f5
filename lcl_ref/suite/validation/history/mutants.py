"""Layers with a bug: the reference, but for one mistake where the bug shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS
from lcl_ref.suite.diagnosis.deviations import find
from lcl_ref.suite.diagnosis.deviations.deviation import result
from lcl_ref.suite.judge.precision import ROUNDINGS
from lcl_ref.suite.validation.history import triggers
from lcl_ref.suite.validation.history.catalogue import Bug
from lcl_ref.suite.validation.history.memory import LAID, storage
from lcl_ref.suite.validation.history.spoiling import spoiled
from lcl_ref.suite.validation.history.states import Call, Calls

Array = NDArray[Any]
Arrays = dict[str, Array]


class Mutant:
    """The layer with a bug, as a user's layer (`lcl_ref.suite.run.user_layer`)."""

    def __init__(self, bug: Bug) -> None:
        self.bug, self.calls = bug, Calls(bug.after)

    def forward(self, spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return ``y (n, o*, co)``."""
        return self._answers("forward", spec, {"x": x, "weight": weight, "bias": bias})["y"]

    def vjp(self, spec: Spec, x: Array, weight: Array, bias: Array | None, dy: Array) -> Any:
        """Return ``(dx, dw, db)``."""
        found = self._answers("vjp", spec, {"x": x, "weight": weight, "bias": bias, "dy": dy})
        return found["dx"], found["dw"], found.get("db")

    def transpose(self, spec: Spec, y: Array, weight: Array) -> Array:
        """Return ``xt (n, i*, ci)``."""
        return self._answers("transpose", spec, {"weight": weight, "dy": y})["dx"]

    def _answers(self, op: str, spec: Spec, given: dict[str, Array | None]) -> Arrays:
        operands = {name: array for name, array in given.items() if array is not None}
        first = operands["x"] if "x" in operands else operands["dy"]
        dtype, weight = first.dtype, operands["weight"]
        right = _results(op, spec, _wide(operands))
        with self.calls.call(Call(spec, len(first), dtype.name, op, weight)) as happened:
            if happened and self._laid(operands) and triggers.holds(self.bug.when, spec, len(first), dtype.name):
                wrong = self._wrong(op, spec, operands, right)
                right |= {name: array for name, array in wrong.items() if name in self.bug.results}
        with np.errstate(over="ignore", invalid="ignore"):
            return {name: array.astype(dtype) for name, array in right.items()}

    def _laid(self, operands: Arrays) -> bool:
        lies = LAID.get(self.bug.laid)
        return lies is None or any(lies(operands[name]) for name in self.bug.of if name in operands)

    def _wrong(self, op: str, spec: Spec, operands: Arrays, right: Arrays) -> Arrays:
        bug = self.bug
        if bug.deviates:
            wide = _wide(operands)
            return {name: result(spec, wide, (find(bug.deviates),), name) for name in bug.results if name in right}
        if bug.where:
            return {name: spoiled(spec, name, array, bug.where, bug.holds) for name, array in right.items()}
        if bug.reads:
            return _results(op, spec, _wide(self._misread(spec, operands)))
        if bug.sums:
            return _in_parts(op, spec, _wide(operands), ROUNDINGS[bug.sums])
        operands[bug.writes].reshape(-1)[-1:] += 1
        return right

    def _misread(self, spec: Spec, operands: Arrays) -> Arrays:
        if self.bug.reads == "kept":
            keys = [key for key in self.calls.kept if key[0] == spec and key[1] == operands["weight"].dtype.name]
            return operands | {"weight": self.calls.kept[keys[0]]}
        lies = LAID[self.bug.laid]
        return operands | {
            name: storage(operands[name]) for name in self.bug.of if name in operands and lies(operands[name])
        }


def _wide(operands: Arrays) -> Arrays:
    return {name: array.astype(np.float64) for name, array in operands.items()}


def _results(op: str, spec: Spec, given: Arrays) -> Arrays:
    with np.errstate(over="ignore", invalid="ignore"):
        if op == "forward":
            return {"y": batched.forward(spec, given["x"], given["weight"], given.get("bias"))}
        if op == "transpose":
            return {"dx": batched.transpose(spec, given["dy"], given["weight"])}
        found = zip(OPERATIONS[op].results, batched.vjp(spec, given["x"], given["weight"], given["dy"]), strict=True)
        return {name: array for name, array in found if array is not None}


def _in_parts(op: str, spec: Spec, given: Arrays, rounded: Callable[[Array], Array]) -> Arrays:
    """Return results whose sums are made of rounded parts: of y one per half of the input channels, else per sample."""
    if op == "forward":
        half = np.arange(spec.in_channels) < spec.in_channels // 2
        parts = [_results(op, spec, given | {"x": given["x"] * side})["y"] for side in (half, ~half)]
        bias = given.get("bias", np.zeros(()))
        return {"y": rounded(rounded(parts[0] - bias) + rounded(parts[1] - bias)) + bias}
    totals = {name: np.zeros_like(array) for name, array in _results(op, spec, given).items()}
    for sample in range(len(given["dy"])):
        one = {name: array[sample : sample + 1] if name in ("x", "dy") else array for name, array in given.items()}
        for name, array in _results(op, spec, one).items():
            if name != "dx":
                totals[name] = rounded(totals[name] + rounded(array))
    return totals
