"""Layers of the golden data with other operands, answered by `lcl_ref.core.batched`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.suite.checks.orders import broadcast
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.tasks import Task

Array = NDArray[Any]

DATA = ("x", "dy")
PARAMETERS = ("weight", "bias")

MANY = 1 << 20
"""Numbers that fill no cache."""


@dataclass(frozen=True)
class Asked:
    """A layer of the golden data, in one dtype, and tasks made from it; each is answered once.

    Parameters
    ----------
    case : str
        Its id.
    task : Task
        Its operands and golden results.
    """

    case: str
    task: Task

    @cached_property
    def other_data(self) -> Task:
        """The layer with another x and dy."""
        return with_operands(self.task, self._moved_on(*DATA))

    @cached_property
    def other_weights(self) -> Task:
        """The layer with another weight and bias."""
        return with_operands(self.task, self._moved_on(*PARAMETERS))

    @cached_property
    def other_numbers(self) -> Task:
        """The layer with other numbers in every operand."""
        return with_operands(self.task, self._moved_on(*DATA, *PARAMETERS))

    @cached_property
    def longer(self) -> Task:
        """The layer with one sample more."""
        moved = self._moved_on(*DATA)
        data = {name: np.concatenate([self.task.operands[name], moved[name][:1]]) for name in DATA}
        return with_operands(self.task, {**self.task.operands, **data})

    @cached_property
    def larger(self) -> Asked:
        """The layer with so many samples that its windows hold `MANY` numbers: routes do something else then."""
        spec, data = self.task.spec, {name: self.task.operands[name] for name in DATA}
        samples = -(-MANY // (math.prod(spec.output_size) * spec.fan_in))
        repeated = {name: np.resize(array, (samples, *array.shape[1:])) for name, array in data.items()}
        return Asked(self.case, with_operands(self.task, {**self.task.operands, **repeated}))

    @cached_property
    def single(self) -> Task:
        """The layer with the first sample alone."""
        data = {name: self.task.operands[name][:1] for name in DATA}
        return with_operands(self.task, {**self.task.operands, **data})

    @cached_property
    def empty(self) -> Task:
        """The layer without samples."""
        return with_operands(self.task, {**self.task.operands, **{name: self.task.operands[name][:0] for name in DATA}})

    @cached_property
    def repeated(self) -> Task:
        """The layer with operands whose first axis repeats one entry."""
        return with_operands(self.task, {name: broadcast(operand) for name, operand in self.task.operands.items()})

    def _moved_on(self, *names: str) -> dict[str, Array]:
        """Return the operands, the numbers of some of them moved on by one element."""
        operands = self.task.operands
        return {name: np.roll(operand, 1) if name in names else operand for name, operand in operands.items()}


def with_operands(task: Task, operands: Mapping[str, Array]) -> Task:
    """Return the task of other operands; exact where every sum of them is a number of the dtype."""
    wide = {name: operand.astype(np.float64) for name, operand in operands.items()}
    x, weight, bias, dy = wide["x"], wide["weight"], wide.get("bias"), wide["dy"]
    dx, dw, db = batched.vjp(task.spec, x, weight, dy)
    golden = {"y": batched.forward(task.spec, x, weight, bias), "dx": dx, "dw": dw}
    if db is not None:
        golden["db"] = db
    other = replace(task, operands=dict(operands), golden=golden, _magnitudes={})
    peak = max(float(other.magnitude(name).total.max(initial=0)) for name in golden)
    return replace(other, exact=task.exact and peak <= FORMATS[task.dtype].largest_exact_integer)
