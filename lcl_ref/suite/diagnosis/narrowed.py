"""Known deviations in one result only, or under a condition only: what explains part of a layer's answers.

A flipped kernel in dw alone, or a bias gradient of the first sample where the bias is per channel, are deviations of
the catalogue that somebody made in one branch of the code.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from lcl_ref.suite.diagnosis.deviations import COMPUTED
from lcl_ref.suite.diagnosis.hypothesis_search import Explanation, find_single, predicts
from lcl_ref.suite.diagnosis.locate.conditions import condition, covering
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
        only = f"only in {' and '.join(self.where.labels)}" if self.where.only and "y" not in self.where.labels else ""
        where = f"only with {' and '.join(self.where.condition.words)}" if self.where.condition.words else ""
        return ", ".join(words for words in (only, where) if words)


def narrowed(observations: Sequence[Observation], ops: Container[str]) -> list[Narrowed]:
    """Return where `ops` of the layer are wrong, each with a known deviation that explains it alone, if one does."""
    found: list[Narrowed] = []
    every = parts_of(observations)
    parts = [part for part in every if part.seen.op in ops]
    for where in located(parts, len({part.label for part in every})):
        one = _explained(where, parts)
        each = [_explained(located_alone(parts, label), parts) for label in where.labels if one.explanation is None]
        found += each if len(each) > 1 and any(single.explanation for single in each) else [one]
    return found


def _explained(where: Located, parts: Sequence[Part]) -> Narrowed:
    """Return a single deviation that gives every wrong answer of these results, under the simplest condition."""
    concerned = [part for part in parts if part.label in where.labels]
    wrong = [part.seen for part in concerned if part.wrong]
    explanation = find_single(wrong, BITWISE)
    if explanation is None:
        return Narrowed(where, None)
    right = [part for part in concerned if not part.wrong]
    fitting = [
        (one, [predicts(one, part.seen) for part in right]) for one in (explanation.deviations, *explanation.same)
    ]
    conditions = [(), *((trait,) for trait in covering(concerned))]
    for traits in conditions:
        found, meeting = condition(concerned, traits)
        met = [meets for part, meets in zip(concerned, meeting, strict=True) if not part.wrong]
        names = [
            one for one, fits in fitting if all(fits_it or not meets for fits_it, meets in zip(fits, met, strict=True))
        ]
        if names:
            return Narrowed(
                replace(where, condition=found), replace(explanation, deviations=names[0], same=tuple(names[1:]))
            )
    return Narrowed(where, explanation if where.condition.exact and where.condition.words else None)
