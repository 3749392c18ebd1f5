"""Known deviations in one result only, or under a condition only: what explains part of a layer's answers.

A flipped kernel in dw alone, or a bias gradient of the first sample where the bias is per channel, are deviations of
the catalogue that somebody made in one branch of the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lcl_ref.suite.diagnosis.deviations import COMPUTED
from lcl_ref.suite.diagnosis.hypothesis_search import Explanation, find_single
from lcl_ref.suite.diagnosis.locate.located import Located, located, located_alone
from lcl_ref.suite.diagnosis.locate.parts import Part, parts_of
from lcl_ref.suite.judge.observation import Observation

BITWISE = tuple(deviation for deviation in COMPUTED if deviation.kind != "precision")
"""Deviations that a few wrong answers cannot resemble by chance."""


@dataclass(frozen=True)
class Narrowed:
    """Where answers are wrong, and the deviations that give exactly those, if there are any.

    Parameters
    ----------
    where : Located
        Which results, and the condition.
    explanation : Explanation or None
        What explains every wrong answer there, and the right ones that meet the condition.
    """

    where: Located
    explanation: Explanation | None

    @property
    def text(self) -> str:
        """In which results and where a deviation holds, as words behind its sentence; empty for all of them."""
        only = f"only in {' and '.join(self.where.labels)}" if self.where.only else ""
        where = self.where.condition.text if self.where.condition.words else ""
        return ", ".join(words for words in (only, where) if words)


def narrowed(observations: Sequence[Observation]) -> list[Narrowed]:
    """Return where the layer is wrong, each with a known deviation that explains it alone, if one does."""
    found: list[Narrowed] = []
    parts = parts_of(observations)
    for where in located(observations):
        one = _explained(where, parts)
        each = [_explained(located_alone(parts, label), parts) for label in where.labels if one.explanation is None]
        found += each if len(each) > 1 and any(single.explanation for single in each) else [one]
    return found


def _explained(where: Located, parts: Sequence[Part]) -> Narrowed:
    """Return the single deviation for all answers of these results, else for those that meet the condition."""
    concerned = [part.seen for part in parts if part.label in where.labels]
    everywhere = find_single(concerned, BITWISE)
    if everywhere is not None:
        return Narrowed(replace(where, condition=replace(where.condition, words=())), everywhere)
    meeting = [part.seen for part in where.meeting]
    return Narrowed(where, find_single(meeting, BITWISE) if where.condition.words else None)
