"""The settings that all wrong answers have and, together, no right one: at most three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lcl_ref.suite.diagnosis.locate.parts import Part
from lcl_ref.suite.diagnosis.locate.traits import Trait, traits

TRIED = 24
"""How many traits are combined by threes: those that leave fewest right answers."""

FEW = 1
"""So many wrong answers or fewer say nothing about settings."""

SOME = 3
"""So many or fewer say nothing about sizes: one can be found that sets any two cases apart."""


@dataclass(frozen=True)
class Condition:
    """Where results are wrong.

    Parameters
    ----------
    words : tuple of str
        What all wrong answers have; together no condition is stricter.
    wrong, right : int
        How many answers that have it are wrong, and how many are right all the same.
    others : int
        How many right answers do not have it.
    """

    words: tuple[str, ...]
    wrong: int
    right: int
    others: int

    @property
    def exact(self) -> bool:
        """Whether every answer that has it is wrong."""
        return self.right == 0

    @property
    def text(self) -> str:
        """The condition in words, behind a verb."""
        where = " and ".join(self.words)
        if self.exact:
            return f"exactly with {where}" if where else "always"
        return f"only with {where}" if where else "now and then"


def condition_of(parts: Sequence[Part]) -> tuple[Condition, Any]:
    """Return the condition under which results are wrong, and which of `parts` meet it."""
    wrong = np.array([part.wrong for part in parts])
    chosen = _fewest(covering(parts), wrong)
    return condition(parts, chosen)


def condition(parts: Sequence[Part], chosen: Sequence[Trait]) -> tuple[Condition, Any]:
    """Return the condition of these traits, and which of `parts` meet it."""
    wrong = np.array([part.wrong for part in parts])
    meeting = np.logical_and.reduce([np.ones(len(parts), bool), *(one.holds for one in chosen)])
    left = int((meeting & ~wrong).sum())
    words = tuple(one.words for one in chosen)
    return Condition(words, int(wrong.sum()), left, int((~wrong).sum()) - left), meeting


def covering(parts: Sequence[Part]) -> list[Trait]:
    """Return the traits that all wrong answers have and some right one lacks; none where too few are wrong."""
    wrong = np.array([part.wrong for part in parts])
    if wrong.all() or wrong.sum() <= FEW:
        return []
    found = traits([part.seen for part in parts], wrong, sizes=int(wrong.sum()) > SOME)
    return _useful([one for one in found if one.holds[wrong].all()], wrong)


def _useful(covering: list[Trait], wrong: Any) -> list[Trait]:
    """Return the traits that some right answer lacks, the first of those that tell the same."""
    found: dict[bytes, Trait] = {}
    for one in covering:
        if not one.holds[~wrong].all():
            found.setdefault(one.holds[~wrong].tobytes(), one)
    return list(found.values())


def _fewest(useful: list[Trait], wrong: Any) -> tuple[Trait, ...]:
    """Return one to three traits that leave the fewest right answers; one more only where it leaves far fewer."""
    best: tuple[Trait, ...] = ()
    left = int((~wrong).sum())
    ranked = sorted(useful, key=lambda one: int(one.holds[~wrong].sum()))
    for size, pool in ((1, useful), (2, useful), (3, ranked[:TRIED])):
        places = {id(one): place for place, one in enumerate(useful)}
        for group in combinations(sorted(pool, key=lambda one: places[id(one)]), size):
            remaining = int(np.logical_and.reduce([one.holds[~wrong] for one in group]).sum())
            if remaining * 2 < left or (remaining == 0 < left) or (len(group) == len(best) and remaining < left):
                best, left = group, remaining
        if left == 0:
            break
    return best
