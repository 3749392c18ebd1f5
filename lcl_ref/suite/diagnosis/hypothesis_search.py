"""Which deviations, one or two at once, reproduce every answer of a wrong layer bit for bit.

A hypothesis is a tuple of deviations. It is tried on the observations that tell most first, passing ones included: it
must also predict where the layer is right. What it does not reproduce entirely is never claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.diagnosis.deviations import COMPUTED, Deviation
from lcl_ref.suite.diagnosis.deviations.deviation import changed_fields, edited, touches
from lcl_ref.suite.diagnosis.predict import Hypothesis, reproduces
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.observation import Observation, Verdict


@dataclass(frozen=True)
class Explanation:
    """Deviations that reproduce every answer of the operations in `ops`.

    Parameters
    ----------
    deviations : tuple of Deviation
        One or two, in the order in which they apply.
    ops : tuple of str
        Operations explained.
    explained : int
        Wrong answers reproduced: all there are in these operations.
    same : tuple of tuple of Deviation
        Other hypotheses of the same size that reproduce everything as well.
    """

    deviations: Hypothesis
    ops: tuple[str, ...]
    explained: int
    same: tuple[Hypothesis, ...] = ()


SCREENED = 40
"""On so many wrong answers hypotheses are tried before all others, and on so many right ones."""

_ANY = Spec(input_size=1, in_channels=1, out_channels=1, kernel_size=1)
"""Formats are edited the same in every layer."""


def predicts(hypothesis: Hypothesis, seen: Observation) -> bool:
    """Return whether a hypothesis gives an answer; where it does not edit the layer, the answer must be right."""
    if any(_edits(one, seen) for one in hypothesis):
        return reproduces(hypothesis, seen)
    return seen.verdict == "pass"


class Evidence:
    """All answers of some operations, and what single deviations predict for them, computed once.

    Parameters
    ----------
    observations : sequence of Observation
        Answered ones, passing or failing.
    candidates : sequence of Deviation
        What may be part of an explanation.
    """

    def __init__(self, observations: Sequence[Observation], candidates: Sequence[Deviation] = COMPUTED) -> None:
        ops = {observation.op for observation in observations}
        self.candidates = [deviation for deviation in candidates if ops & set(deviation.ops)]
        self._changes: dict[int, frozenset[int]] = {}
        first, rest = _screen(observations)
        # Where few candidates matter, one look settles most hypotheses.
        self.observations = sorted(
            first, key=lambda seen: (not seen.task.exact, len(self._changed_by(seen)), seen.weight)
        )
        self.rest = sorted(rest, key=lambda seen: (not seen.task.exact, seen.weight))
        layers = {(seen.task.spec, seen.batch) for seen in self.observations}
        self.fields = [
            frozenset().union(*(changed_fields(*layer, deviation) for layer in layers)) for deviation in self.candidates
        ]
        self._fits: dict[tuple[int, int], bool] = {}

    @property
    def wrong(self) -> int:
        """How many answers are wrong."""
        return sum(seen.verdict in ("fail", "error") for seen in (*self.observations, *self.rest))

    def _changed_by(self, observation: Observation) -> frozenset[int]:
        """Return the numbers of the candidates that edit the layer of an observation."""
        if id(observation) not in self._changes:
            self._changes[id(observation)] = frozenset(
                number for number, one in enumerate(self.candidates) if _edits(one, observation)
            )
        return self._changes[id(observation)]

    def _survives(self, hypothesis: Hypothesis) -> bool:
        """Return whether a hypothesis that fits the screened answers fits the others too."""
        return all(predicts(hypothesis, seen) for seen in self.rest)

    def singles(self) -> list[Hypothesis]:
        """Return the single deviations that reproduce everything, in catalogue order."""
        numbers = range(len(self.candidates))
        fitting = [n for n in numbers if all(self._fits_one(n, seen) for seen in self.observations)]
        return [one for one in (self.hypothesis((number,)) for number in fitting) if self._survives(one)]

    def pairs(self) -> list[Hypothesis]:
        """Return the pairs that reproduce everything, in catalogue order; reversed where only the other order does."""
        alive = np.triu(np.ones((len(self.candidates),) * 2, bool), 1)
        for exact in (True, False):  # limits are dearer than bits
            observations = [seen for seen in self.observations if seen.task.exact == exact]
            for seen in observations:
                alive &= self._survivors(alive, seen)
            for seen in observations:
                active = self._active(seen)
                for pair in np.argwhere(alive & active & active[:, None]).tolist():
                    alive[*pair] = self._fits_both((pair[0], pair[1]), seen)
        left = [(first, second) for first, second in np.argwhere(alive).tolist()]
        return [hypothesis for pair in left for hypothesis in self._orders(pair)]

    def _survivors(self, alive: NDArray[np.bool_], seen: Observation) -> NDArray[np.bool_]:
        """Return the pairs an observation leaves standing without computing any pair.

        Where neither edits the layer it must be right; where one does, what that one predicts alone decides.
        """
        active = self._active(seen)
        single = alive & (active[:, None] != active)
        asked = (single.any(axis=0) | single.any(axis=1)) & active
        fits = np.array([wanted and self._fits_one(n, seen) for n, wanted in enumerate(asked)], bool)
        both, neither = active[:, None] & active, ~(active[:, None] | active)
        kept: NDArray[np.bool_] = both | (neither & (seen.verdict == "pass")) | (single & (fits[:, None] | fits))
        return kept

    def _active(self, observation: Observation) -> NDArray[np.bool_]:
        """Return which candidates edit the layer of an observation."""
        return np.isin(np.arange(len(self.candidates)), list(self._changed_by(observation)))

    def hypothesis(self, numbers: Iterable[int]) -> Hypothesis:
        """Return the deviations with these numbers."""
        return tuple(self.candidates[number] for number in numbers)

    def _fits_one(self, number: int, observation: Observation) -> bool:
        if number not in self._changed_by(observation):
            return observation.verdict == "pass"
        key = number, id(observation)
        if key not in self._fits:
            self._fits[key] = reproduces(self.hypothesis((number,)), observation)
        return self._fits[key]

    def _fits_both(self, pair: tuple[int, int], observation: Observation) -> bool:
        orders = [pair] if self._commute(*pair) else [pair, pair[::-1]]
        return any(reproduces(self.hypothesis(order), observation) for order in orders)

    def _commute(self, first: int, second: int) -> bool:
        """Return whether the order of two deviations cannot matter: they edit different fields of the plan."""
        return not self.fields[first] & self.fields[second]

    def _orders(self, pair: tuple[int, int]) -> Iterator[Hypothesis]:
        """Yield the first order of a pair that reproduces everything, if one does."""
        for first, second in [pair] if self._commute(*pair) else [pair, pair[::-1]]:
            hypothesis = self.hypothesis((first, second))
            if all(reproduces(hypothesis, seen) for seen in self.observations) and self._survives(hypothesis):
                yield hypothesis
                return


def _screen(observations: Sequence[Observation]) -> tuple[list[Observation], list[Observation]]:
    """Return the answers that hypotheses are tried on first, some wrong and some right ones of every size; the rest."""
    chosen: set[int] = set()
    for wrong in (True, False):
        group = [seen for seen in observations if (seen.verdict != "pass") == wrong]
        group.sort(key=lambda seen: seen.weight)
        chosen |= {id(seen) for seen in (*group[: SCREENED // 2], *group[:: len(group) // SCREENED + 1])}
    first = [seen for seen in observations if id(seen) in chosen]
    return first, [seen for seen in observations if id(seen) not in chosen]


def _edits(deviation: Deviation, seen: Observation) -> bool:
    """Return whether a deviation can show in an observation."""
    return touches(seen.task.spec, seen.batch, deviation, seen.op) and _matters(deviation, seen)


def _matters(deviation: Deviation, observation: Observation) -> bool:
    """Return whether a deviation can show: integers that a coarse format holds come through it unchanged."""
    if deviation.kind != "precision" or not observation.task.exact:
        return True
    plan = edited(observation.task.spec, (deviation,), "y")
    return any(
        observation.peak > FORMATS[form].largest_exact_integer for form in (plan.accumulator, plan.stored) if form
    )


def find_explanations(
    observations: Sequence[Observation], candidates: Sequence[Deviation] = COMPUTED
) -> list[Explanation]:
    """Return the smallest explanation of all failing operations.

    One hypothesis for all of them is preferred; else each operation is explained by itself, as far as it can be.
    Operations without a failure are right and need no explanation. Errors count only where no answer is wrong.

    Parameters
    ----------
    observations : sequence of Observation
        Everything that was asked.
    candidates : sequence of Deviation
        What may be part of an explanation.

    Returns
    -------
    list of Explanation
        Empty where nothing is wrong or nothing explains it.
    """
    bad: Verdict = "fail" if any(seen.verdict == "fail" for seen in observations) else "error"
    answered = [seen for seen in observations if seen.verdict in ("pass", bad)]
    failing = tuple(dict.fromkeys(seen.op for seen in answered if seen.verdict == bad))
    search = _Search(answered, candidates)
    whole = search.singles(failing)
    apart = [] if whole else [search.singles((op,)) for op in failing]
    if not whole and not all(apart) and bad == "fail":
        whole = search.pairs(failing)
        if not whole and len(failing) > 1:
            apart = [one or search.pairs((op,)) for one, op in zip(apart, failing, strict=True)]
    found = [(failing, whole)] if whole else [((op,), one) for op, one in zip(failing, apart, strict=True) if one]
    return [search.explanation(ops, hypotheses) for ops, hypotheses in found]


def find_single(observations: Sequence[Observation], candidates: Sequence[Deviation]) -> Explanation | None:
    """Return the first single deviation that reproduces all of these answers, which may hold one result of several."""
    evidence = Evidence(observations, candidates)
    first, *same = evidence.singles() or [()]
    ops = tuple(dict.fromkeys(seen.op for seen in observations))
    return Explanation(first, ops, evidence.wrong, tuple(same)) if first else None


class _Search:
    """Hypotheses for some operations of one layer."""

    def __init__(self, answered: Sequence[Observation], candidates: Sequence[Deviation]) -> None:
        self.answered, self.candidates = answered, candidates
        self._evidence: dict[tuple[str, ...], Evidence] = {}

    def evidence(self, ops: tuple[str, ...]) -> Evidence:
        """Return the evidence on some operations, gathered once."""
        if ops not in self._evidence:
            concerned = [seen for seen in self.answered if seen.op in ops]
            self._evidence[ops] = Evidence(concerned, self.candidates)
        return self._evidence[ops]

    def singles(self, ops: tuple[str, ...]) -> list[Hypothesis]:
        """Return the single deviations that reproduce everything seen of these operations."""
        return self.evidence(ops).singles() if ops else []

    def pairs(self, ops: tuple[str, ...]) -> list[Hypothesis]:
        """Return the pairs that do."""
        return self.evidence(ops).pairs()

    def explanation(self, ops: tuple[str, ...], hypotheses: Sequence[Hypothesis]) -> Explanation:
        """Return the hypotheses as one explanation, those first that also predict the operations that are right."""
        others = [seen for seen in self.answered if seen.op not in ops]
        ranked = sorted(hypotheses, key=lambda one: not all(reproduces(one, seen) for seen in others))
        same = tuple(one for one in ranked[1:] if not _only_wider(one, ranked[0]))
        return Explanation(ranked[0], ops, self.evidence(ops).wrong, same)


def _only_wider(one: Hypothesis, finer: Hypothesis) -> bool:
    """Return whether a hypothesis holds where a finer one does by its limit alone: that of a coarser accumulator."""
    rest, same_rest = ([part for part in parts if part.kind != "precision"] for parts in (one, finer))
    sums, finer_sums = (_accumulation(parts) for parts in (one, finer))
    return rest == same_rest and sums > finer_sums > 0


def _accumulation(hypothesis: Hypothesis) -> float:
    """Return the unit roundoff of the coarsest accumulator of a hypothesis, or 0 where none changes it."""
    formats = [edited(_ANY, (part,), "y").accumulator for part in hypothesis if part.kind == "precision"]
    return max((FORMATS[form].unit_roundoff for form in formats if form), default=0.0)
