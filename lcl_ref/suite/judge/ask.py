"""Asking a layer one question; who judges the answer need not be in the same process."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.outside.text import shown
from lcl_ref.suite.adapter import Adapter, Prepared, Unsupported, operation
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.judge.outcome import Fault, NotRun
from lcl_ref.suite.judge.tasks import MANY_POSITIONS, Task
from lcl_ref.suite.to_numpy import to_numpy

Array = NDArray[Any]
Arrays = dict[str, Array]


class Changed(Exception):  # noqa: N818 -- a finding about a layer
    """A layer that changes its inputs, or its mind."""


@dataclass(frozen=True)
class Reply:
    """What came of one question, before it is judged.

    Parameters
    ----------
    seconds : float
        Time that it took.
    answers : dict of str to array
        The first answers by result name, as far as there are any.
    again : dict of str to array
        Of the answers to the same question asked again, those that have other bytes.
    end : dict
        Where there is nothing to compare: state, message and kind of error of the outcome.
    raised : str
        The exception in words, where there was one.
    """

    seconds: float
    answers: Mapping[str, Array] = field(default_factory=dict)
    again: Mapping[str, Array] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)
    raised: str = ""


class Asker:
    """Asks one adapter, keeping the last prepared layer for the operations that follow on it.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    twice : bool
        Whether each question is asked twice.
    lay : callable
        Copies an operand, in the memory order that the layer is given.
    """

    def __init__(self, adapter: Adapter, *, twice: bool = True, lay: Callable[[Array], Array] = np.array) -> None:
        self._adapter, self._twice, self._lay = adapter, twice, lay
        self._task: Task | None = None
        self._layer: Prepared | None = None
        self._answers: Arrays = {}
        self._again: Arrays = {}

    def ask(self, op: str, task: Task) -> Reply:
        """Ask for one operation of a task; nothing a layer raises escapes."""
        if self._task is not task:
            self._task, self._layer = task, None
        began, end, raised = time.perf_counter(), {}, ""
        self._answers, self._again = {}, {}
        try:
            self._ask_unless_refused(op, task)
        except Exception as error:  # noqa: BLE001 -- the layer under test may raise anything
            end, raised = finding(error), f"{type(error).__name__}: {shown(error)}"
        return Reply(time.perf_counter() - began, self._answers, self._again, end, raised)

    def _ask_unless_refused(self, op: str, task: Task) -> None:
        capabilities = self._adapter.declaration.capabilities
        reason = capabilities.refusal(task.spec, task.dtype, op, task.tags)
        if reason is not None:
            raise Unsupported(reason)
        self._ask(op, task)

    def _ask(self, op: str, task: Task) -> None:
        """Prepare the layer where needed, and call it on copies of the operands."""
        given = {name: self._lay(operand) for name, operand in task.operands.items()}
        if self._layer is None:
            self._layer = self._adapter.prepare(task.spec, given["weight"], given.get("bias"), task.dtype)
        self._answers = {name: array.copy() for name, array in answers_of(self._layer, op, given).items()}
        for name, operand in given.items():
            if operand.tobytes() != task.operands[name].tobytes():
                raise Changed(f"mutating: {op} wrote into its input {name}")
        if self._twice and math.prod(task.spec.output_size) <= MANY_POSITIONS:
            again = answers_of(self._layer, op, given)
            self._again = {name: array for name, array in again.items() if not _identical(array, self._answers[name])}


def _identical(left: Array, right: Array) -> bool:
    """Return whether two arrays agree in form and in every byte."""
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


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
    """Return the results by name."""
    try:
        dx, dw, db = value
    except (TypeError, ValueError) as error:
        raise Malformed(f"vjp: got {type(value).__name__}, expected three arrays (dx, dw, db)") from error
    return {"dx": dx, "dw": dw, "db": db}


def finding(error: Exception) -> dict[str, Any]:
    """Return the facts of an outcome without an answer that could be compared."""
    if isinstance(error, Changed):
        return {"state": "fail", "message": shown(error)}
    if isinstance(error, Unsupported):
        return {"state": "unsupported", "message": shown(error)}
    if isinstance(error, Malformed):
        return {"state": "error", "message": shown(error), "error_kind": "malformed"}
    if isinstance(error, Fault):
        return {"state": "error", "message": shown(error), "error_kind": error.kind}
    if isinstance(error, NotRun):
        return {"state": "not_run", "message": shown(error)}
    return {"state": "error", "message": _last_words(error), "error_kind": "exception"}


def _last_words(error: BaseException) -> str:
    """Return the exception and the place in the layer's own code where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {shown(error)}{place}"
