"""Observations taken apart: one result of one answer, right or wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lcl_ref.suite.judge.observation import Observation, rejected


@dataclass(frozen=True)
class Part:
    """One result of an observation.

    Parameters
    ----------
    seen : Observation
        The observation with this result alone; its verdict is that of the result.
    label : str
        ``y``, ``dx``, ``dw``, ``db``, or ``xt`` for what a transpose gives.
    """

    seen: Observation
    label: str

    @property
    def wrong(self) -> bool:
        """Whether it is wrong, or missing."""
        return self.seen.verdict in ("fail", "error")


def parts_of(observations: Iterable[Observation]) -> list[Part]:
    """Return every result that was answered, without empty ones; where all are right nothing is compared again."""
    return [
        Part(_alone(seen, name), "xt" if seen.op == "transpose" else name)
        for seen in observations
        if seen.verdict in ("pass", "fail")
        for name in seen.answers
        if name in seen.task.golden and seen.task.golden[name].size
    ]


def _alone(seen: Observation, name: str) -> Observation:
    answers = {name: seen.answers[name]}
    if seen.verdict == "fail" and len(seen.answers) > 1 and not rejected(seen.task, seen.op, {name: seen.wide[name]}):
        return replace(seen, answers=answers, verdict="pass")
    return replace(seen, answers=answers)
