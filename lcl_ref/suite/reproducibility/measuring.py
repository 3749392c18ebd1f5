"""Measuring backends: each in a process on one core, in a second one, and in one on every core."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lcl_ref.suite.judge.transport import unpacked
from lcl_ref.suite.reproducibility.classes import Key, Measured, agreement, measured
from lcl_ref.suite.reproducibility.questions import LAYERS, OPS, VARIANTS
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.process import Job, TimedOut, Worker, WorkerExited
from lcl_ref.suite.run.process_sharing import WorkerGroup, WorkerGroups
from lcl_ref.suite.run.settings import Settings, wait_until_loaded

Found = dict[str, dict[str, dict[Key, Any]]]
"""Backend -> circumstance -> answers."""


def measure(refs: Sequence[BackendRef], settings: Settings, dtype: str) -> list[Measured]:
    """Return what was measured of each backend, in their order."""
    found: Found = {ref.name: {} for ref in refs}
    messages: dict[str, str] = {}
    cores = os.cpu_count() or 1
    for group, members in _grouped(refs):
        for threads, renamed in ((1, {}), (1, {"plain": "second process"}), (cores, {"plain": "every core"})):
            variants = [one for one in VARIANTS if not renamed or one in renamed]
            left = list(members)
            while left:
                left = _serve(group, left, settings, (dtype, threads, variants, renamed), found, messages)
    alike = agreement({name: answers.get("plain", {}) for name, answers in found.items()})
    return [
        replace(measured(name, dtype, answers), agreement=alike[name], message=messages.get(name, ""))
        for name, answers in found.items()
    ]


def _grouped(refs: Sequence[BackendRef]) -> Iterator[tuple[WorkerGroup, list[BackendRef]]]:
    """Yield the backends that may follow each other in one process."""
    groups, last = WorkerGroups({ref: [] for ref in refs}), None
    members: list[BackendRef] = []
    while (turn := groups.next(last)) is not None:
        group, ref, _ = turn
        if last is not None and group is not last:
            yield last, members
            members = []
        last = group
        members.append(ref)
    if last is not None:
        yield last, members


def _serve(
    group: WorkerGroup,
    refs: Sequence[BackendRef],
    settings: Settings,
    how: tuple[str, int, list[str], dict[str, str]],
    found: Found,
    messages: dict[str, str],
) -> list[BackendRef]:
    """Ask one backend after the other in one process; return those left behind one that lost it."""
    dtype, threads, variants, renamed = how
    arguments = {"dtype": dtype, "threads": threads, "variants": variants}
    job = Job("lcl_ref.suite.reproducibility.answering", arguments)
    worker = Worker(refs[0], job, threads, settings.limits, environment=group.environment)
    try:
        for number, ref in enumerate(refs):
            if number:
                worker.take_up(ref, job)
            report = wait_until_loaded(worker, settings)
            if report.availability != "present":
                messages[ref.name] = report.message
                if report.availability == "broken":
                    return list(refs[number + 1 :])
                continue
            try:
                _listen(worker, settings, len(variants), found[ref.name], renamed)
            except (TimedOut, WorkerExited) as end:
                messages[ref.name] = f"its process was lost: {str(end) or 'no answer in time'}"
                return list(refs[number + 1 :])
    finally:
        worker.close()
    return []


def _listen(
    worker: Worker, settings: Settings, variants: int, found: dict[str, dict[Key, Any]], renamed: dict[str, str]
) -> None:
    """Take every answer; those of a layer that is not offered, or raises, count for nothing."""
    for _ in range(len(LAYERS) * len(OPS) * variants):
        message = worker.next_message(settings.timeout)
        reply = unpacked(message, message["data"], set())
        circumstance = renamed.get(message["variant"], message["variant"])
        for name, array in reply.answers.items():
            found.setdefault(circumstance, {})[message["case"], message["op"], name] = array
    worker.next_message(settings.timeout)  # "done"
