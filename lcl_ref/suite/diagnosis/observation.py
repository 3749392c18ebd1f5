"""What a layer answers, kept as arrays: the evidence a diagnosis works on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.adapter import Adapter, Unsupported
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.judge.evaluate import rejected
from lcl_ref.suite.judge.tasks import Task, load_task

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


def observe(adapter: Adapter, store: Store, cells: Iterable[tuple[str, str, str]]) -> Iterator[Observation]:
    """Ask a layer, in this process, about each ``(case, op, dtype)`` and keep what it answers."""
    for case, op, dtype in cells:
        task = load_task(store, case, dtype)
        yield ask(adapter, case, op, task)


def ask(adapter: Adapter, case: str, op: str, task: Task) -> Observation:
    """Ask a layer one question; nothing it raises escapes."""
    try:
        refusal = adapter.declaration.capabilities.refusal(task.spec, task.dtype, op, task.tags)
        if refusal is not None:
            return Observation(case, op, task, "unsupported", {}, refusal)
        answers = fresh_answers(adapter, op, task)
    except Unsupported as reason:
        return Observation(case, op, task, "unsupported", {}, str(reason))
    except (Malformed, Exception) as error:  # noqa: BLE001 -- the layer under test may raise anything
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return Observation(case, op, task, "error", {}, message)
    wide = {name: answer.astype(np.float64) for name, answer in answers.items()}
    if rejected(task, op, wide, adapter.declaration.capabilities.accumulation):
        return Observation(case, op, task, "fail", answers)
    for name, answer in answers.items():
        if answer.dtype != FORMATS[task.dtype].dtype:
            message = f"{name}: got dtype {answer.dtype}, expected {task.dtype}"
            return Observation(case, op, task, "error", answers, message)
    return Observation(case, op, task, "pass", answers)


def fresh_answers(adapter: Adapter, op: str, task: Task) -> dict[str, Array]:
    """Prepare the layer and call it once, on copies of the operands."""
    given = {name: operand.copy() for name, operand in task.operands.items()}
    layer = adapter.prepare(task.spec, given["weight"], given.get("bias"), task.dtype)
    return {name: np.array(answer) for name, answer in answers_of(layer, op, given).items()}
