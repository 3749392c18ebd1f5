"""Checks of a layer under the transforms of its framework (SPEC clauses 8.10, 9.7 and 9.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.suite.adapter import Unsupported, operation
from lcl_ref.suite.checks.subject import Deviates, Subject, one_by_one
from lcl_ref.suite.checks.variants import Asked
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.ask import Arrays, answers_of
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Malformed, Mismatch, check
from lcl_ref.suite.judge.tasks import Task
from lcl_ref.suite.to_numpy import to_numpy

Array = NDArray[Any]


def has(transform: str) -> Callable[[Subject, Sequence[Asked]], object]:
    """Return what refuses layers without a transform."""
    return lambda subject, layers: operation(subject.held(layers[0].task)[1], transform)


def _controlled(about: Callable[[Subject, Asked, str], None]) -> Callable[[Subject, Asked, str], None]:
    """Return a question that counts for nothing where the layer is wrong, or raises, when it is asked plainly."""

    def controlled(subject: Subject, asked: Asked, op: str) -> None:
        try:
            about(subject, asked, op)
        except Unsupported:
            raise
        except Exception:
            subject.right(asked.task, op, subject.given(asked.task), "at first", subject.held(asked.task)[1])
            raise

    return controlled


def _and_larger(about: Callable[[Subject, Asked, str], None]) -> Callable[[Subject, Sequence[Asked], str], None]:
    """Return a check of several layers, the first with many samples too where its sums stay exact."""
    controlled = _controlled(about)

    def about_all(subject: Subject, layers: Sequence[Asked], op: str) -> None:
        larger = [layers[0].larger] if layers[0].larger.task.exact else []
        subject.each([[layer] for layer in (*layers, *larger)], lambda group: controlled(subject, group[0], op))

    return about_all


@_and_larger
def forward_mode(subject: Subject, asked: Asked, op: str) -> None:
    """Ask for y and its tangent along other numbers in every operand."""
    task, along = asked.task, asked.other_numbers
    layer, direction = (subject.held(one)[1] for one in (task, along))
    tangent = _exact(task, {"y": _tangent(task, task.operands, along.operands)}, along)
    jvp = operation(layer, "jvp")
    y, y_dot = _arrays(jvp(subject.given(task)["x"], subject.given(along)["x"], direction), 2)
    _require(subject, task, op, {"y": y}, "in forward mode")
    _require(subject, tangent, op, {"y": y_dot}, "in forward mode, the tangent of y")


@_and_larger
def second_derivative(subject: Subject, asked: Asked, op: str) -> None:
    """Ask for the gradients of the gradients along other numbers in every operand."""
    task, along = asked.task, asked.other_numbers
    layer, direction = (subject.held(one)[1] for one in (task, along))
    here, there = _wide(task.operands), _wide(along.operands)
    golden = {
        "y": _tangent(task, task.operands, along.operands),
        "dx": batched.transpose(task.spec, here["dy"], there["weight"]),
        "dw": batched.vjp(task.spec, there["x"], there["weight"], here["dy"])[1],
    }
    expected, given = _exact(task, golden, along), subject.given(task)
    second = operation(layer, "second_derivative")
    of_dy, of_x, of_weight = _arrays(second(given["x"], given["dy"], subject.given(along)["x"], direction), 3)
    _require(subject, expected, "forward", {"y": of_dy}, "the second derivative in dy (shaped like y)")
    _require(subject, expected, op, {"dx": of_x, "dw": of_weight}, "the second derivative in x or weight")


@one_by_one
@_controlled
def mapped(subject: Subject, asked: Asked, op: str) -> None:
    """Map the layer over a stack of data, and over stacks of everything."""
    task = asked.task
    layer, second = (subject.held(one)[1] for one in (task, asked.other_numbers))
    for words, other, layers in (
        ("data", asked.other_data, None),
        ("all operands", asked.other_numbers, [layer, second]),
    ):
        given = [subject.given(one) for one in (task, other)]
        stack = {name: np.stack([one[name] for one in given]) for name in given[0]}
        for name, answer in answers_of(operation(layer, "mapped")(layers), op, stack).items():
            if answer.shape[:1] != (len(given),):
                raise Malformed(f"{name}: got shape {answer.shape}, expected {len(given)} results along its first axis")
            for number, one in enumerate((task, other)):
                _require(subject, one, op, {name: answer[number]}, f"mapped over {words}, element {number}")


@one_by_one
@_controlled
def compiled(subject: Subject, asked: Asked, op: str) -> None:
    """Ask about data as it was compiled for, about other data, and about one sample more."""
    layer = subject.held(asked.task)[1]
    for words, run in operation(layer, "compiled")().items():
        for task in (asked.task, asked.other_data, asked.longer):
            subject.right(task, op, subject.given(task), words, run)


@one_by_one
@_controlled
def exported(subject: Subject, asked: Asked, op: str) -> None:
    """Ask what comes out of a file about the data it was exported with, and about other data."""
    layer = subject.held(asked.task)[1]
    loaded = operation(layer, "exported")(subject.given(asked.task)["x"])
    for task in (asked.task, asked.other_data):
        subject.right(task, op, subject.given(task), "exported, stored and loaded", loaded)


def _require(subject: Subject, task: Task, op: str, answers: Arrays, when: str) -> None:
    """Compare answers."""
    declared = subject.adapter.declaration.capabilities.accumulation
    for expected in task.expected(op, accumulation_of(task.dtype, op, declared)):
        if expected.result in answers:
            try:
                check(expected, answers[expected.result])
            except Mismatch as wrong:
                raise Deviates(f"{when}: {wrong}") from wrong


def _tangent(task: Task, at: Mapping[str, Array], along: Mapping[str, Array]) -> Array:
    """Return the tangent of y (SPEC clause 9.7)."""
    here, there = _wide(at), _wide(along)
    moved = batched.forward(task.spec, there["x"], here["weight"], there.get("bias"))
    return moved + batched.forward(task.spec, here["x"], there["weight"], None)


def _exact(task: Task, golden: Mapping[str, Array], along: Task) -> Task:
    """Return the task with other results.

    Raises
    ------
    Unsupported
        If a sum that makes one may not be a number of the dtype.
    """
    sizes = [{name: np.abs(array) for name, array in one.operands.items()} for one in (task, along)]
    peak = float(_tangent(task, *sizes).max(initial=0))
    if not task.exact or not along.exact or peak > FORMATS[task.dtype].largest_exact_integer:
        raise Unsupported(f"its derivatives are not exact in {task.dtype}")
    return replace(task, golden=dict(golden), _magnitudes={})


def _wide(operands: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.astype(np.float64) for name, array in operands.items()}


def _arrays(given: Any, count: int) -> list[Array]:
    """Return so many arrays; anything else is malformed."""
    if not isinstance(given, tuple | list) or len(given) != count:
        raise Malformed(f"got {type(given).__name__}, expected {count} arrays")
    try:
        return [to_numpy(value) for value in given]
    except TypeError as error:
        raise Malformed(str(error)) from error
