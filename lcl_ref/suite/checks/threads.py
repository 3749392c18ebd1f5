"""The check of two threads at once (SPEC clause 8.7)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

from lcl_ref.suite.adapter import Prepared
from lcl_ref.suite.checks.subject import Subject, one_by_one
from lcl_ref.suite.checks.variants import Asked
from lcl_ref.suite.judge.ask import Arrays, answers_of
from lcl_ref.suite.judge.tasks import Task

CALLS = 4
"""Calls of each thread."""

SWITCH_SECONDS = 1e-5
"""How often threads take turns meanwhile."""


@one_by_one
def two_threads(subject: Subject, asked: Asked, op: str) -> None:
    """Ask one layer from two threads about different data, then two layers of one spec."""
    task = asked.task
    _, layer = subject.held(task)
    subject.right(task, op, subject.given(task), "before threads start", layer)
    _at_once(subject, op, [(task, layer), (asked.other_data, layer)], "one layer in two threads")
    layers = [(one, subject.held(one)[1]) for one in (task, asked.other_numbers)]
    _at_once(subject, op, layers, "two layers in two threads")


def _at_once(subject: Subject, op: str, members: Sequence[tuple[Task, Prepared]], when: str) -> None:
    """Ask each layer in a thread of its own, all from the same moment on, and judge every answer."""
    barrier = Barrier(len(members))

    def ask(member: tuple[Task, Prepared]) -> list[Arrays]:
        task, layer = member
        given = subject.given(task)
        barrier.wait()
        return [{name: one.copy() for name, one in answers_of(layer, op, given).items()} for _ in range(CALLS)]

    with _taking_turns(), ThreadPoolExecutor(len(members)) as pool:
        found = list(pool.map(ask, members))
    for (task, _), answers in zip(members, found, strict=True):
        for answer in answers:
            subject.require(task, op, answer, when)


@contextmanager
def _taking_turns() -> Iterator[None]:
    """Let the interpreter switch between threads more often than it does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
