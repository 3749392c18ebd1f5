"""Asking one layer one question and judging the answer; runs inside the worker process of a backend."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERANDS, OPERATIONS, Adapter, Prepared
from lcl_ref.suite.formats import FORMATS, FloatFormat
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import bounds, conjugation, precision
from lcl_ref.suite.judge.compare import (
    Agreement,
    Expected,
    Malformed,
    Mismatch,
    axes_of,
    check,
    from_parts,
    in_parts,
    same_numbers,
)
from lcl_ref.suite.judge.outcome import Cell, Fault, NotRun, Outcome, outcome
from lcl_ref.suite.run.user_layer import Unsupported, operation
from lcl_ref.suite.to_numpy import to_numpy

Array = NDArray[Any]
Arrays = dict[str, Array]

COMPLEX = "complex64"


class Changed(Exception):  # noqa: N818 -- a finding about a layer
    """A layer that changes its inputs, or its mind."""


@dataclass(frozen=True)
class Task:
    """A case in one dtype: the layer, its operands in that dtype, and the golden results."""

    spec: Spec
    dtype: str
    exact: bool
    tags: tuple[str, ...]
    operands: Mapping[str, Array]
    golden: Mapping[str, Array]
    _magnitudes: dict[str, bounds.Magnitude] = field(default_factory=dict)

    def expected(self, op: str, accumulation: FloatFormat) -> list[Expected]:
        """Return the golden results of `op` and how answers are held against them."""
        return [
            Expected(
                name,
                self.golden[name],
                self.dtype,
                axes_of(name, self.spec.rank, self.spec.bias),
                self.exact,
                accumulation,
                lambda name=name: self.magnitude(name),  # type: ignore[misc]
            )
            for name in OPERATIONS[op].results
            if name in self.golden
        ]

    def cause(self, expected: Expected, got: Array) -> str:
        """Return what explains a wrong answer of its own kind of numbers, else nothing."""
        if self.dtype == COMPLEX:
            return conjugation.explain(self.spec, self.operands, got)
        return "" if self.exact else self.reduced_precision(expected, got)

    def reduced_precision(self, expected: Expected, got: Array) -> str:
        """Return ``reduced precision: ...`` where a cheaper arithmetic explains an answer, else nothing."""
        form = FORMATS[self.dtype]
        size, sums = expected.magnitude(), expected.accumulation
        cause = precision.explain(self.spec, self.operands, expected.result, got, size, form, sums)
        return f"reduced precision: {cause}" if cause else ""

    def magnitude(self, result: str) -> bounds.Magnitude:
        """Return S and K of the elements of one result, computed once."""
        if not self._magnitudes:
            sizes = {name: np.abs(in_parts(array)) for name, array in self.operands.items()}
            if self.dtype == COMPLEX:
                sizes = {name: size.sum(axis=-1) for name, size in sizes.items()}
                sizes["dy"] = np.zeros(self.golden["y"].shape, np.float32)
            finite = {name: np.nan_to_num(size, posinf=0) for name, size in sizes.items()}
            self._magnitudes.update(bounds.magnitudes(self.spec, finite))
        return self._magnitudes[result]


def load_task(store: Store, case_id: str, dtype: str) -> Task:
    """Read one case from the golden data, its operands converted to `dtype` (exact by their certificate)."""
    entry = store.entries[case_id]
    stored = store.arrays(case_id)
    if entry["values"] == "complex":
        dtype = COMPLEX
        stored = {name: from_parts(array) for name, array in stored.items()}
    if entry["values"] == "rounded":
        stored = {
            name.removeprefix(f"{dtype}/"): array for name, array in stored.items() if name.startswith(f"{dtype}/")
        }
    operands = {name: stored[name].astype(FORMATS[dtype].dtype) for name in OPERANDS if name in stored}
    golden = {name: array for name, array in stored.items() if name not in OPERANDS}
    exact = entry["values"] != "rounded"
    return Task(store.spec(case_id), dtype, exact, tuple(entry["tags"]), operands, golden)


def cell_exists(entry: Mapping[str, Any], op: str, dtype: str) -> bool:
    """Tell whether the golden data answers `op` in `dtype` for an index entry: exact sums fit the significand."""
    if (entry["values"] == "complex") != (dtype == COMPLEX):
        return False
    if entry["values"] in ("nonfinite", "complex"):
        return op == "forward"
    if entry["values"] == "rounded":
        return True
    peak: int = max(entry["certificate"].get(name, 0) for name in OPERATIONS[op].results)
    return peak <= FORMATS[dtype].largest_exact_integer


class Evaluator:
    """Judges cells of one adapter, keeping the last prepared layer for the operations that follow on it."""

    def __init__(self, adapter: Adapter, store: Store | None = None) -> None:
        self.adapter, self.store = adapter, store
        self._key: tuple[str, str] | None = None
        self._task: Task
        self._layer: Prepared | None = None

    def judge(self, cell: Cell) -> Outcome:
        """Return the outcome of one cell of the golden data; nothing a layer raises escapes."""
        assert self.store is not None
        if self._key != (cell.case, cell.dtype):
            self._key, self._layer = None, None
            self._task = load_task(self.store, cell.case, cell.dtype)
            self._key = cell.case, cell.dtype
        return self._judged(cell)

    def judge_task(self, cell: Cell, task: Task) -> Outcome:
        """Return the outcome of one operation of a task that is not in the golden data."""
        if self._key is not None or getattr(self, "_task", None) is not task:
            self._key, self._layer, self._task = None, None, task
        return self._judged(cell)

    def _judged(self, cell: Cell) -> Outcome:
        began = time.perf_counter()
        try:
            facts = self._answer(cell)
        except Exception as error:  # noqa: BLE001 -- the layer under test may raise anything
            facts = _finding(error)
        return outcome(cell, seconds=time.perf_counter() - began, **facts)

    def _answer(self, cell: Cell) -> dict[str, Any]:
        """Ask the layer unless it declares that it cannot, and return the facts of a pass."""
        capabilities = self.adapter.declaration.capabilities
        reason = capabilities.refusal(self._task.spec, cell.dtype, cell.op, self._task.tags)
        if reason is not None:
            return {"state": "unsupported", "message": reason}
        agreements = self._ask(cell.op)
        return {
            "state": "pass",
            "error_ratio": max((agreement.error_ratio for agreement in agreements), default=0.0),
            "message": "; ".join(agreement.warning for agreement in agreements if agreement.warning),
        }

    def _ask(self, op: str) -> list[Agreement]:
        """Prepare the layer where needed, call it on copies of the operands, and judge its answers."""
        task = self._task
        given = {name: operand.copy() for name, operand in task.operands.items()}
        if self._layer is None:
            self._layer = self.adapter.prepare(task.spec, given["weight"], given.get("bias"), task.dtype)
        declared = self.adapter.declaration.capabilities.accumulation
        accumulation = bounds.accumulation_of(task.dtype, op, declared)
        answers = answers_of(self._layer, op, given)
        for name, operand in given.items():
            if operand.tobytes() != task.operands[name].tobytes():
                raise Changed(f"mutating: {op} wrote into its input {name}")
        _same_again(answers, answers_of(self._layer, op, given))
        return [_hold(task, expected, answers[expected.result]) for expected in task.expected(op, accumulation)]


def _hold(task: Task, expected: Expected, got: Array) -> Agreement:
    """Check one answer; where it is wrong or beyond the warning line, say what explains it."""
    try:
        agreement = check(expected, got)
    except Mismatch as mismatch:
        cause = task.cause(expected, got)
        if not cause:
            raise
        raise Mismatch(expected.result, f"{cause}; {mismatch}", mismatch.error_ratio) from None
    if agreement.warning and not task.exact:
        cause = task.reduced_precision(expected, got) or "reduced precision?"
        return Agreement(agreement.error_ratio, f"{cause}; {agreement.warning}")
    return agreement


def _same_again(answers: Arrays, again: Arrays) -> None:
    """Refuse a layer that answers the same question differently."""
    for name, answer in answers.items():
        if not same_numbers(answer, again[name]):
            raise Changed(f"nondeterministic: {name} differs between two calls with the same input")


def answers_of(layer: Prepared, op: str, operands: Mapping[str, Array]) -> Arrays:
    """Call one operation of a prepared layer and return its answers as NumPy arrays by result name.

    Raises
    ------
    Malformed
        If an answer is not an array, or a vjp is not three of them.
    """
    if op == "forward":
        given = {"y": layer.forward(operands["x"])}
    elif op == "transpose":
        given = {"dx": operation(layer, "transpose")(operands["dy"])}
    else:
        given = _three(operation(layer, "vjp")(operands["x"], operands["dy"]))
    answers = {}
    for name, value in given.items():
        if name == "db" and "bias" not in operands:
            continue
        try:
            answers[name] = to_numpy(value)
        except TypeError as error:
            raise Malformed(f"{name}: {error}") from error
    return answers


def _three(value: Any) -> dict[str, Any]:
    """Return the cotangents by name."""
    try:
        dx, dw, db = value
    except (TypeError, ValueError) as error:
        raise Malformed(f"vjp: got {type(value).__name__}, expected three arrays (dx, dw, db)") from error
    return {"dx": dx, "dw": dw, "db": db}


def _finding(error: Exception) -> dict[str, Any]:
    """Return the facts of an outcome that is not a pass."""
    if isinstance(error, Mismatch | Changed):
        return {"state": "fail", "message": str(error), "error_ratio": getattr(error, "error_ratio", None)}
    if isinstance(error, Unsupported):
        return {"state": "unsupported", "message": str(error)}
    if isinstance(error, Malformed):
        return {"state": "error", "message": str(error), "error_kind": "malformed"}
    if isinstance(error, Fault):
        return {"state": "error", "message": str(error), "error_kind": error.kind}
    if isinstance(error, NotRun):
        return {"state": "not_run", "message": str(error)}
    return {"state": "error", "message": _last_words(error), "error_kind": "exception"}


def _last_words(error: BaseException) -> str:
    """Return the exception and the place in the layer's own code where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
