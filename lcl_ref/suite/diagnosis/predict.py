"""Whether a layer with certain deviations gives the answers that were observed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.adapter import OPERATIONS, Result
from lcl_ref.suite.diagnosis.deviations import Deviation, Refused, results
from lcl_ref.suite.diagnosis.deviations.deviation import each_result, edited
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import Magnitude, accumulation_of, limit
from lcl_ref.suite.judge.compare import same_results
from lcl_ref.suite.judge.observation import Observation

Array = NDArray[Any]
Hypothesis = tuple[Deviation, ...]
"""Deviations in the order in which they apply."""


def reproduces(hypothesis: Hypothesis, observation: Observation) -> bool:
    """Return whether a layer with these deviations gives these answers.

    Bit for bit on exact cases, except where the deviated result itself is not representable (a mean, say); else within
    the proved limit of that layer. An error is reproduced by a layer that could not run. Formats that replace float32
    may or may not replace float64.
    """
    precise = tuple(deviation for deviation in hypothesis if deviation.kind != "precision")
    both = observation.task.dtype == "float64" and precise != hypothesis
    return any(_reproduces(one, observation) for one in ((hypothesis, precise) if both else (hypothesis,)))


def _reproduces(hypothesis: Hypothesis, observation: Observation) -> bool:
    task, answers = observation.task, observation.wide
    formats = [(one, edited(task.spec, (one,), "y")) for one in hypothesis if one.kind == "precision"]
    coarse = {deviation.id: plan for deviation, plan in formats if plan.accumulator or plan.stored}
    # Results in a coarse format depend on the order of summation: they are compared within the limit of that format.
    ordered = tuple(deviation for deviation in hypothesis if deviation.id not in coarse)
    predicted: dict[str, Array] = {}
    try:
        for name, array in _predictions(ordered, observation):
            predicted[name] = array
            if observation.verdict == "error":
                continue
            if array.shape != answers[name].shape:
                return False
            if task.exact and not coarse and _misses(task.dtype, array, answers[name]):
                return False
    except Refused:
        return observation.verdict == "error"
    if observation.verdict == "error" or (coarse and not _near(hypothesis, observation)):
        return False
    got = {name: answers[name] for name in predicted}
    if task.exact and not coarse and same_results(predicted, got):
        return True
    sums = next((plan.accumulator for plan in coarse.values() if plan.accumulator), "")
    stored = next((plan.stored for plan in coarse.values() if plan.stored), task.dtype)
    return all(
        bool(_representable(stored, got[name]).all()) and _within(allowed, got[name], predicted[name])
        for name, allowed in _limits(ordered, observation, predicted, stored, sums).items()
    )


def _predictions(hypothesis: Hypothesis, observation: Observation) -> Iterator[tuple[Result, Array]]:
    """Yield the results that were answered, or all in the place of an error; first those that stay right."""
    task, answers = observation.task, observation.answers
    parts = [part for part in OPERATIONS[observation.op].results if part in (answers or task.golden)]
    edited_parts = {part for deviation in hypothesis for part in deviation.parts}
    right = [part for part in parts if task.exact and answers and part not in edited_parts]
    yield from ((part, task.golden[part].astype(np.float64)) for part in right)
    left = [part for part in parts if part not in right]
    yield from each_result(task.spec, observation.operands, hypothesis, left)


NEAR = 4.0
"""How many times the error of sums in a coarse format, one product after the other, such sums may have in any order."""


MANY_ERRORS, ONE_SIDED = 16, 0.9
"""Of so many errors no larger share has the same side by chance."""


def _near(hypothesis: Hypothesis, observation: Observation) -> bool:
    """Return whether errors are of the size that this arithmetic gives: its limit alone holds much that is no rounding.

    The sizes are compared over all elements of a result, since the order of summation is not known.
    """
    simulated = results(observation.task.spec, observation.operands, hypothesis, observation.op)
    for name, got in observation.wide.items():
        right = observation.task.golden[name].astype(np.float64)
        if got.shape != right.shape:
            return False
        with np.errstate(invalid="ignore"):  # infinities of one sign
            errors, expected = (_size(one - right) for one in (got, simulated[name]))
        if errors > NEAR * expected or _toward_zero(got, right):
            return False
    return True


def _toward_zero(got: Array, right: Array) -> bool:
    """Return whether nearly all wrong elements are nearer 0 than right ones, which rounding to nearest never does."""
    wrong = np.isfinite(right) & np.isfinite(got) & (got != right)
    nearer = np.abs(got[wrong]) < np.abs(right[wrong])
    return bool(nearer.size >= MANY_ERRORS and nearer.mean() > ONE_SIDED)


def _size(errors: Array) -> float:
    """Return the root of the mean square of the finite ones."""
    finite = errors[np.isfinite(errors)].astype(np.float64)
    largest = float(np.abs(finite).max(initial=0))
    return largest * float(np.sqrt(np.mean((finite / largest) ** 2))) if largest else 0.0


def _representable(dtype: str, array: Array) -> NDArray[np.bool_]:
    """Return which elements of `array` are numbers of this dtype."""
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(FORMATS[dtype].dtype).astype(np.float64)
    return np.asarray((stored == array) | np.isnan(array))


def _misses(dtype: str, predicted: Array, got: Array) -> bool:
    """Return whether any answer differs from a prediction that is itself a number of this dtype."""
    wrong = (predicted != got) & ~(np.isnan(predicted) & np.isnan(got))
    return bool(_representable(dtype, predicted[wrong]).any())


def _within(allowed: Array, got: Array, predicted: Array) -> bool:
    """Return whether all finite numbers are within the limit and the others are the same."""
    finite = np.isfinite(predicted)
    if not np.array_equal(got[~finite], predicted[~finite], equal_nan=True):
        return False
    return bool((np.abs(got[finite] - predicted[finite]) <= allowed[finite]).all())


def _limits(
    hypothesis: Hypothesis, observation: Observation, predicted: dict[str, Array], stored: str, sums: str
) -> dict[str, Array]:
    """Return the proved limit of a right computation of the deviated layer (SPEC 12.2), for each of its results.

    It counts the products of both layers and two roundings more, for what a deviation may add (a mean, a conversion).
    Sums of integers below the largest exact one of their format have no error, if the format can store them.
    """
    task = observation.task
    finite = {
        name: np.nan_to_num(operand.astype(np.float64), posinf=0, neginf=0) for name, operand in task.operands.items()
    }
    sizes = {name: np.abs(operand) for name, operand in finite.items()}
    ones = {name: np.ones_like(size) for name, size in sizes.items()}
    totals, terms = (results(task.spec, operands, hypothesis, observation.op) for operands in (sizes, ones))
    right = results(task.spec, ones, (), observation.op)
    accumulation = FORMATS[sums] if sums else accumulation_of(task.dtype, observation.op, {})
    limits = {}
    for name, array in predicted.items():
        size = Magnitude(np.abs(totals[name]), np.abs(terms[name]) + right[name].max(initial=0) + 2)
        limits[name] = limit(size, array, FORMATS[stored], accumulation)
        if task.exact:
            exact = (size.total <= accumulation.largest_exact_integer) & _representable(stored, array)
            limits[name] = np.where(exact, 0.0, limits[name])
    return limits
