"""Naming mistakes that depend on the numbers in the operands, and not on the layer (SPEC clauses 3.3, 8.3 and 8.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import limit
from lcl_ref.suite.judge.compare import Expected
from lcl_ref.suite.judge.precision import batched_result

Array = NDArray[Any]
Operands = Mapping[str, Array]

SENTENCES = {
    "values/no-bias-at-zeros": "leaves the bias out where every product is 0",
    "values/wraps": "whole numbers wrap around: results are right modulo a power of two",
    "values/flushes-subnormals": "takes, or gives, subnormal numbers as 0, and does not declare it",
}
"""Name of a mistake -> what a layer does that makes it; ends with no stop."""

WORDS = (8, 16, 32)
"""Bits of the integers that sums may wrap in."""


def mistake_of(spec: Spec, operands: Operands, expected: Expected, got: Array) -> str:
    """Return the name of the mistake that a wrong answer shows, or nothing.

    Parameters
    ----------
    spec : Spec
        The layer.
    operands : mapping of str to array
        x, weight, dy and bias where there is one.
    expected : Expected
        The golden result.
    got : array
        The answer.
    """
    answer, truth = got.astype(np.float64), expected.golden.astype(np.float64)
    if answer.shape != truth.shape:
        return ""
    shows: dict[str, Callable[[], bool]] = {
        "values/no-bias-at-zeros": lambda: _without_bias(spec, operands, expected.result, answer, truth),
        "values/wraps": lambda: expected.exact and any(np.array_equal(answer, other) for other in _wrapped(truth)),
        "values/flushes-subnormals": lambda: not expected.exact and _flushed(spec, operands, expected, answer),
    }
    return next((name for name, is_so in shows.items() if is_so()), "")


def _without_bias(spec: Spec, operands: Operands, result: str, answer: Array, truth: Array) -> bool:
    if result != "y" or "bias" not in operands or all(operand.all() for operand in operands.values()):
        return False
    x, weight = (np.abs(operands[name].astype(np.float64)) for name in ("x", "weight"))
    return np.array_equal(answer, np.where(batched.forward(spec, x, weight, None) == 0, 0.0, truth))


def _wrapped(truth: Array) -> Iterator[Array]:
    """Yield finite results as integers of 8, 16 and 32 bits would hold them, signed or not."""
    if not np.isfinite(truth).all():
        return
    whole = truth.astype(np.int64)
    for bits in WORDS:
        for kind in ("int", "uint"):
            yield whole.astype(f"{kind}{bits}").astype(np.float64)


def _flushed(spec: Spec, operands: Operands, expected: Expected, answer: Array) -> bool:
    """Return whether subnormal operands taken for 0 explain an answer, or results that are 0 in their place.

    Where results are flushed none is subnormal, and sums lack at most what was flushed on the way.
    """
    form, size, truth = FORMATS[expected.dtype], expected.magnitude(), expected.golden
    least = 2.0 ** max(form.min_exponent, expected.accumulation.min_exponent)
    allowed = limit(size, truth, form, expected.accumulation)
    if (np.abs(answer - truth) <= allowed).all():
        return False
    lost = (size.terms + 1) * 4 * least
    zeros = (answer == 0) & (truth != 0)
    none_is_small = (zeros | (np.abs(answer) >= least) | (truth == 0)).all()
    if zeros.any() and none_is_small and (np.abs(answer - truth) <= allowed + lost).all():
        return True
    return any(
        (np.abs(answer - golden) <= allowed + lost * zeros).all()
        for golden in _without_subnormals(spec, operands, expected.result, 2.0**form.min_exponent)
    )


def _without_subnormals(spec: Spec, operands: Operands, result: str, least: float) -> Iterator[Array]:
    """Yield a result with the subnormal numbers of one operand taken for 0, and of all."""
    wide = {name: operand.astype(np.float64) for name, operand in operands.items()}
    flushed = {name: np.where(np.abs(operand) < least, 0.0, operand) for name, operand in wide.items()}
    changed = {name: operand for name, operand in flushed.items() if not np.array_equal(wide[name], operand)}
    for name, operand in changed.items():
        yield batched_result(spec, wide | {name: operand}, result)
    if len(changed) > 1:
        yield batched_result(spec, flushed, result)
