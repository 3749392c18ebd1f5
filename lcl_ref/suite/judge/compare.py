"""Comparing one result with the golden one: a record or an exception, never a bool (SPEC clause 12)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.axes import axis_names
from lcl_ref.suite.formats import FORMATS, FloatFormat, in_parts
from lcl_ref.suite.judge.bounds import Magnitude, limit, warning_line
from lcl_ref.suite.judge.rounding import NAME, lean

Array = NDArray[Any]

LEAST_PRECISION = 24
"""Bits of sums whose rounding is fair: in fewer, small terms vanish beside long sums, always on the same side."""

TENSOR_OF = {"y": "y", "dx": "x", "dw": "weight", "db": "bias"}
"""Result -> the tensor whose axes it has."""


@dataclass(frozen=True)
class Agreement:
    """A result within its limit.

    Parameters
    ----------
    error_ratio : float
        Largest error divided by its limit; 0 where every bit agrees.
    warning : str
        What is suspect although within the limit, or empty.
    bias : str
        To which side its errors lean, or empty.
    """

    error_ratio: float
    warning: str = ""
    bias: str = ""


class Mismatch(Exception):  # noqa: N818 -- a finding about a layer, not an error of ours
    """A result that is wrong.

    Parameters
    ----------
    result : str
        ``y``, ``dx``, ``dw`` or ``db``.
    text : str
        Where, got, expected, limit, and how many elements.
    error_ratio : float or None
        Largest error divided by its limit; None where there is no such number (a NaN, an inf).
    name : str
        The mistake that it shows, where its numbers alone say so.
    """

    def __init__(self, result: str, text: str, error_ratio: float | None = None, name: str = "") -> None:
        self.result, self.error_ratio, self.name = result, error_ratio, name
        super().__init__(f"{result}: {text}")


class Malformed(Exception):  # noqa: N818 -- see Mismatch
    """An answer that is not an array of the right shape and dtype."""


@dataclass(frozen=True)
class Expected:
    """One golden result and the rule by which an answer is compared with it.

    Parameters
    ----------
    result : str
        ``y``, ``dx``, ``dw`` or ``db``.
    golden : array
        The golden result, in any dtype that holds it.
    dtype : str
        Dtype the answer must have.
    axes : tuple of str
        Axis names, for messages.
    exact : bool
        Whether every finite bit must agree (zeros of either sign are equal, and so are all NaNs).
    accumulation : FloatFormat
        The format its sums are kept in.
    magnitude : callable
        Gives S and K of the elements; called only where a limit is needed.
    origin : mapping of str to int
        Axis name -> place of the first element in a larger result that this is a part of; for messages.
    """

    result: str
    golden: Array
    dtype: str
    axes: tuple[str, ...]
    exact: bool
    accumulation: FloatFormat
    magnitude: Callable[[], Magnitude]
    origin: Mapping[str, int] = field(default_factory=dict)


def check(expected: Expected, got: Array) -> Agreement:
    """Compare an answer with the golden result.

    Raises
    ------
    Malformed
        If shape or dtype differ.
    Mismatch
        If an element is wrong.
    """
    check_form(expected, got)
    if got.dtype.kind == "c":
        return check(_in_parts(expected), in_parts(got))
    answer, truth = got.astype(np.float64), expected.golden.astype(np.float64)
    if np.array_equal(answer, truth, equal_nan=True):
        return Agreement(0.0)
    _check_nonfinite(expected, answer, truth)
    form, accumulation = FORMATS[expected.dtype], expected.accumulation
    size = expected.magnitude()
    allowed = limit(size, truth, form, accumulation)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.abs(answer - truth)
        ratio = np.where(np.isfinite(truth) & (error > 0), error / allowed, 0.0)  # an empty sum has limit 0
    worst = float(ratio.max())
    wrong = error > 0 if expected.exact else error > allowed
    if wrong.any():
        place = np.unravel_index(int(np.argmax(np.where(wrong, ratio, -1))), ratio.shape)
        bound = "every bit must agree" if expected.exact else f"limit {allowed[place]:.3g}"
        text = _describe(expected, answer, truth, wrong, place)
        figure = worst if math.isfinite(worst) else None
        raise Mismatch(expected.result, f"{text}; {bound}, error {worst:.3g} of the limit", figure)
    suspect = int((error > warning_line(size, truth, form, accumulation)).sum())
    doubt = f"{expected.result}: {suspect} of {error.size} elements beyond 4*sqrt(K+1)*u*S"
    side = lean(answer - truth, truth) if accumulation.precision >= LEAST_PRECISION else ""
    return Agreement(worst, doubt if suspect else "", f"{NAME}: {expected.result}: {side}" if side else "")


def same_numbers(left: Array, right: Array) -> bool:
    """Return whether two arrays of any dtype hold the same numbers (NaN equal to NaN, zeros of either sign equal)."""
    one, other = (in_parts(array).astype(np.float64) for array in (left, right))
    return np.array_equal(one, other, equal_nan=True)


def same_results(left: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    """Return whether two answers agree bit for bit (equal shapes, NaN equal to NaN, zeros of either sign equal)."""
    return all(np.array_equal(left[name], right[name], equal_nan=True) for name in left)


def _in_parts(expected: Expected) -> Expected:
    """Return a complex golden result as real numbers, S and K of an element serving both its parts (SPEC 14.9)."""

    def magnitude() -> Magnitude:
        size = expected.magnitude()
        return Magnitude(size.total[..., None], size.terms[..., None])

    golden = in_parts(expected.golden)
    part = FORMATS[expected.dtype].dtype.type(0).real.dtype.name
    axes = (*expected.axes, "part")
    return replace(expected, golden=golden, dtype=part, axes=axes, accumulation=FORMATS[part], magnitude=magnitude)


def check_form(expected: Expected, got: Array) -> None:
    """Compare shape and dtype alone.

    Raises
    ------
    Malformed
        If one differs.
    """
    shape, dtype = expected.golden.shape, FORMATS[expected.dtype].dtype
    if got.shape != shape:
        axes = ", ".join(expected.axes)
        raise Malformed(f"{expected.result}: got shape {got.shape}, expected {shape} ({axes})")
    if got.dtype != dtype:
        raise Malformed(f"{expected.result}: got dtype {got.dtype}, expected {dtype}")


def _check_nonfinite(expected: Expected, answer: Array, truth: Array) -> None:
    """Infinities and NaNs must stand exactly where the golden result has them."""
    finite = np.isfinite(truth)
    wrong = np.isfinite(answer) != finite
    wrong |= ~finite & ~((answer == truth) | (np.isnan(answer) & np.isnan(truth)))
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise Mismatch(expected.result, _describe(expected, answer, truth, wrong, place))


def _describe(expected: Expected, answer: Array, truth: Array, wrong: Array, place: tuple[Any, ...]) -> str:
    places = zip(expected.axes, place, strict=True)
    where = ", ".join(f"{name}={int(at) + expected.origin.get(name, 0)}" for name, at in places)
    return (
        f"[{where}] got {float(answer[place])!r}, expected {float(truth[place])!r}; "
        f"{int(wrong.sum())} of {wrong.size} elements wrong"
    )


def axes_of(result: str, rank: int, bias: str) -> tuple[str, ...]:
    """Return the axis names of a result: dw has the axes of the weight, and so on."""
    tensor = TENSOR_OF[result]
    return axis_names(f"bias/{bias}" if tensor == "bias" else tensor, rank)
