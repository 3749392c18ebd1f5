"""Checks of what a layer keeps between calls (SPEC clauses 8.4, 8.6 and 8.7)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.adapter import Prepared
from lcl_ref.suite.checks.orders import ORDERS
from lcl_ref.suite.checks.subject import Deviates, PlainlyWrong, Subject, one_by_one
from lcl_ref.suite.checks.variants import DATA, PARAMETERS, Asked
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.judge.compare import same_numbers
from lcl_ref.suite.judge.tasks import Task

Array = NDArray[Any]


def _overwrite(given: Mapping[str, Array], task: Task, names: Sequence[str]) -> None:
    """Write other numbers to where operands lie already."""
    for name in names:
        if name in given:
            given[name][...] = task.operands[name]


@one_by_one
def stale_input(subject: Subject, asked: Asked, op: str) -> None:
    """Ask again about the same arrays, which hold other data by then."""
    task, other = asked.task, asked.other_data
    given = subject.given(task)
    _, layer = subject.held(task)
    subject.right(task, op, given, "at first", layer)
    _overwrite(given, other, DATA)
    subject.right(other, op, given, "after its data changed in place", layer)


@one_by_one
def stale_weight(subject: Subject, asked: Asked, op: str) -> None:
    """Prepare a layer again from the same arrays, which an optimiser has stepped in place."""
    task, other = asked.task, asked.other_weights
    given = subject.given(task)
    subject.right(task, op, given, "at first", subject.prepared(task, given))
    _overwrite(given, other, PARAMETERS)
    again = subject.prepared(other, given)
    subject.right(other, op, given, "prepared again after weight and bias changed in place", again)


def after_batch(subject: Subject, layers: Sequence[Asked], op: str) -> None:
    """Ask layers about batches of different lengths, and one layer about none first."""
    subject.each([[layer] for layer in layers], lambda group: _longer_and_back(subject, group[0], op))
    task = layers[0].task
    if subject.adapter.declaration.capabilities.refusal(task.spec, task.dtype, op, ("empty-batch",)) is None:
        with suppress(PlainlyWrong):
            _after_none(subject, layers[0], op)


def _longer_and_back(subject: Subject, asked: Asked, op: str) -> None:
    task, longer = asked.task, asked.longer
    given, more = subject.given(task), subject.given(longer)
    _, layer = subject.held(task)
    subject.right(task, op, given, "at first", layer)
    subject.right(longer, op, more, "after a shorter batch", layer)
    subject.right(task, op, given, "after a longer batch", layer)


def _after_none(subject: Subject, asked: Asked, op: str) -> None:
    """Ask a new layer about a batch of 0 first, from which it may keep what it did not compute."""
    given = subject.given(asked.task)
    layer = subject.prepared(asked.task, given)
    subject.right(asked.empty, op, subject.given(asked.empty), "at first, without samples", layer)
    subject.right(asked.task, op, given, f"{asked.case}: after a batch of 0", layer)


def after_spec(subject: Subject, layers: Sequence[Asked], op: str) -> None:
    """Ask two layers of different specs in turn."""
    subject.each(
        list(itertools.pairwise(layers)) or [[layer] for layer in layers],
        lambda group: _in_turn(subject, [layer.task for layer in group], op, "a layer of another spec"),
    )


@one_by_one
def after_weights(subject: Subject, asked: Asked, op: str) -> None:
    """Ask two layers of one spec with other weights in turn."""
    _in_turn(subject, [asked.task, asked.other_weights], op, "a layer of the same spec with other weights")


def _in_turn(subject: Subject, tasks: Sequence[Task], op: str, what: str) -> None:
    """Prepare all first, then ask the last, the first and the last."""
    held = [subject.held(task) for task in tasks]
    for number in (-1, 0, -1):
        given, layer = held[number]
        subject.right(tasks[number], op, given, f"between calls of {what}", layer)


@one_by_one
def saved_input(subject: Subject, asked: Asked, op: str) -> None:
    """Ask for the gradient at one x after a forward call of another."""
    task, other = asked.task, asked.other_data
    given, later = subject.given(task), subject.given(other)
    _, layer = subject.held(task)
    for operands, one in ((given, task), (later, other)):
        subject.right(one, "forward", operands, "before the gradient", layer)
    subject.right(task, op, given, "after a forward call of another x", layer)


@one_by_one
def shared_buffer(subject: Subject, asked: Asked, op: str) -> None:
    """Keep an answer, ask this layer and another, and look at it again."""
    task, other = asked.task, asked.other_numbers
    given, later = subject.given(task), subject.given(asked.other_data)
    _, layer = subject.held(task)
    kept = subject.right(task, op, given, "at first", layer)
    copies = {name: answer.copy() for name, answer in kept.items()}
    answers_of(layer, op, later)
    _unchanged(kept, copies, "another call of the layer")
    subject.right(other, op, subject.given(other), "in a second layer")
    _unchanged(kept, copies, "a call of another layer")


def _unchanged(kept: Mapping[str, Array], copies: Mapping[str, Array], after: str) -> None:
    for name, answer in kept.items():
        if not same_numbers(answer, copies[name]):
            raise Deviates(f"the first {name} changed with {after}: answers share one buffer")


@one_by_one
def aliases_operand(subject: Subject, asked: Asked, op: str) -> None:
    """Look for an answer in the memory of an operand; of one sample, a sum over samples is easily a view."""
    for task in (asked.task, asked.single):
        given, layer = subject.held(task)
        answers = subject.right(task, op, given, "at first", layer)
        for (result, answer), (name, operand) in itertools.product(answers.items(), given.items()):
            if np.shares_memory(answer, operand):
                raise Deviates(f"{result} shares memory with {name}: who writes to one changes the other")


@one_by_one
def aliases_answer(subject: Subject, asked: Asked, op: str) -> None:
    """Look for two answers that can be written to in the same memory: of one call, and of the same call again."""
    given, layer = subject.held(asked.task)
    once, again = (subject.right(asked.task, op, given, "at first", layer) for _ in range(2))
    named = [*once.items(), *((f"{name} of the next call", answer) for name, answer in again.items())]
    for (one, left), (other, right) in itertools.combinations(named, 2):
        if left.flags.writeable and right.flags.writeable and np.shares_memory(left, right):
            raise Deviates(f"{one} and {other} share memory: who writes to one changes the other")


@one_by_one
def writes_operands(subject: Subject, asked: Asked, op: str) -> None:
    """Compare the operands and the memory around them after preparing and after each call."""
    given, layer = subject.held(asked.task, ORDERS["offset"])
    before = {name: _whole(ORDERS["offset"](operand)).tobytes() for name, operand in asked.task.operands.items()}
    for call in dict.fromkeys(("forward", op)):
        for _ in range(2):
            subject.answers(asked.task, call, given, layer)
            for name, operand in given.items():
                if _whole(operand).tobytes() != before[name]:
                    raise Deviates(f"{call} wrote into {name}, or into the memory around it")


def _whole(view: Array) -> Array:
    """Return the array whose memory a view looks into."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


def call_order(subject: Subject, layers: Sequence[Asked], op: str) -> None:
    """Ask several layers in an order drawn from the seed."""
    draw = random.Random(f"{subject.seed}/{op}")  # noqa: S311 -- an order, no secret
    subject.each([layers], lambda group: _drawn(subject, group, op, draw))


def _drawn(subject: Subject, group: Sequence[Asked], op: str, draw: random.Random) -> None:
    calls = list(_calls(subject, group, op))
    draw.shuffle(calls)
    for number, (task, call, given, layer) in enumerate(calls):
        subject.right(task, call, given, f"call {number + 1} in the order of seed {subject.seed}", layer)


def _calls(
    subject: Subject, group: Sequence[Asked], op: str
) -> Iterator[tuple[Task, str, Mapping[str, Array], Prepared]]:
    """Yield the calls to be put in order: forward and `op`, two batches, of every layer."""
    for member in group:
        _, layer = subject.held(member.task)
        for task in (member.task, member.other_data):
            given = subject.given(task)
            for call in dict.fromkeys(("forward", op)):
                yield task, call, given, layer
