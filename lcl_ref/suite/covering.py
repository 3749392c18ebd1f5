"""Choosing few cases that are enough: a greedy cover, from which the tiers of `lcl_ref.suite.cases.tiers` were written.

The smoke tier kills every deviation; the core tier kills every deviation twice and asks for every legal pair of
settings (SPEC clause 11.6). Both are stored as data, so that a run needs no kill matrix; tests hold them to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from lcl_ref.suite.cases import CASES
from lcl_ref.suite.cases.tiers import FIRST

Need = tuple[frozenset[str], int]
"""Ids of cases, and how many of them must be chosen."""

CORE_KILLS = 2


def cover(needs: Iterable[Need], start: Sequence[str] = ()) -> list[str]:
    """Return cases that meet every need as far as it can be met.

    Parameters
    ----------
    needs : iterable of Need
        What must be met.
    start : sequence of str
        Cases that are chosen whatever they meet; they come first in the answer.

    Returns
    -------
    list of str
        `start`, then at each step the case that meets most of what is left; of equals the one with the smallest weight,
        then the first of the catalogue.
    """
    chosen = list(start)
    left = _left(needs, chosen)
    while left:
        best = max(
            (case for case in CASES if case.id not in chosen),
            key=lambda case: (sum(case.id in ids for ids, _ in left), -math.prod(case.spec.weight_shape)),
        )
        chosen.append(best.id)
        left = _left(left, [best.id])
    return chosen


def _left(needs: Iterable[Need], chosen: Sequence[str]) -> list[Need]:
    """Return what `chosen` leaves of the needs."""
    done = frozenset(chosen)
    rest = ((ids - done, times - len(ids & done)) for ids, times in needs)
    return [(ids, times) for ids, times in rest if ids and times > 0]


def choose(
    killers: Mapping[str, frozenset[str]], pairs: Iterable[Sequence[str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the smoke and the core tier: `killers` are the cases of each deviation, `pairs` those of each pair."""
    smoke = cover([(ids, 1) for ids in killers.values()], FIRST)
    twice = [(ids, CORE_KILLS) for ids in killers.values()]
    core = cover([*twice, *((frozenset(ids), 1) for ids in pairs)], smoke)
    return _in_order(smoke), _in_order(core)


def _in_order(ids: Iterable[str]) -> tuple[str, ...]:
    """Return ids in the order of the catalogue."""
    wanted = frozenset(ids)
    return tuple(case.id for case in CASES if case.id in wanted)
