"""What a layer answers, kept as arrays: the evidence that a diagnosis works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Malformed, Mismatch, check, same_results
from lcl_ref.suite.judge.tasks import Task

Array = NDArray[Any]
Verdict = Literal["pass", "fail", "error", "unsupported"]


@dataclass(frozen=True)
class Observation:
    """The answers of a layer to one operation of one case.

    Parameters
    ----------
    case, op : str
        What was asked.
    task : Task
        The layer, the operands in their dtype, and the golden results.
    verdict : str
        ``pass``, ``fail``, ``error`` (no arrays) or ``unsupported`` (declared).
    answers : dict of str to array
        Results by name; empty for ``error`` and ``unsupported``.
    message : str
        Why there are none.
    """

    case: str
    op: str
    task: Task
    verdict: Verdict
    answers: Mapping[str, Array]
    message: str = ""

    @cached_property
    def operands(self) -> dict[str, Array]:
        """The operands in float64."""
        return {name: operand.astype(np.float64) for name, operand in self.task.operands.items()}

    @cached_property
    def wide(self) -> dict[str, Array]:
        """The answers in float64."""
        return {name: answer.astype(np.float64) for name, answer in self.answers.items()}

    @cached_property
    def peak(self) -> float:
        """The largest ``sum |left| |right| + |bias|`` of any right answer."""
        sizes = [self.task.magnitude(name).total for name in self.answers if name in self.task.golden]
        return max((float(size.max(initial=0)) for size in sizes), default=0.0)

    @property
    def batch(self) -> int:
        """Samples of the case."""
        return len(self.task.operands["x"])

    @property
    def weight(self) -> int:
        """How much work it is to predict these answers."""
        return self.task.golden["y"].size * self.task.spec.fan_in


def verdict_of(task: Task, op: str, answers: Mapping[str, Array], declared: Mapping[str, str]) -> tuple[Verdict, str]:
    """Return what the numbers of an answer deserve, and why they are an error although they are right."""
    if rejected(task, op, {name: answer.astype(np.float64) for name, answer in answers.items()}, declared):
        return "fail", ""
    for name, answer in answers.items():
        if answer.dtype != FORMATS[task.dtype].dtype:
            return "error", f"{name}: got dtype {answer.dtype}, expected {task.dtype}"
    return "pass", ""


def rejected(
    task: Task, op: str, answer: Mapping[str, Array], declared: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Return whether the suite's comparison rejects an answer given in float64; `declared` are accumulation formats."""
    golden = {name: task.golden[name].astype(np.float64) for name in answer}
    if task.exact:  # the same verdict as below (tested), without computing limits
        return not same_results(golden, answer)
    if same_results(golden, answer):
        return False
    with np.errstate(over="ignore"):
        narrowed = {name: array.astype(FORMATS[task.dtype].dtype) for name, array in answer.items()}
    try:
        for expected in task.expected(op, accumulation_of(task.dtype, op, declared)):
            if expected.result in narrowed:
                check(expected, narrowed[expected.result])
    except (Mismatch, Malformed):
        return True
    return False
