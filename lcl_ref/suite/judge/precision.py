"""Naming reduced precision: which cheaper arithmetic explains a result that misses its limit (SPEC clause 12.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.formats import FORMATS, FloatFormat
from lcl_ref.suite.judge.bounds import Magnitude, limit

Array = NDArray[Any]
Floats = NDArray[np.float64]

TF32_PRECISION = 11
HALVES = ("float16", "bfloat16")


def to_tf32(array: Floats) -> Floats:
    """Return `array` rounded to 11 significant bits, ties to even: what TensorFloat-32 keeps of an input."""
    fraction, exponent = np.frexp(array)
    rounded: Floats = np.ldexp(np.rint(np.ldexp(fraction, TF32_PRECISION)), exponent - TF32_PRECISION)
    return rounded


def to_single(array: Floats) -> Floats:
    """Return `array` rounded to float32."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32).astype(np.float64)


ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "tf32": to_tf32,
    "bfloat16": lambda array: array.astype(ml_dtypes.bfloat16).astype(np.float64),
    "float16": lambda array: array.astype(np.float16).astype(np.float64),
}
"""Name -> what it leaves of an operand; from the finest to the coarsest."""


def cheaper_arithmetic(
    spec: Spec,
    operands: Mapping[str, Array],
    result: str,
    got: Array,
    magnitude: Magnitude,
    form: FloatFormat,
    accumulation: FloatFormat,
) -> str:
    """Return the cheaper arithmetic that explains `got`, or an empty string.

    Parameters
    ----------
    spec : Spec
        The layer.
    operands : mapping of str to array
        x, weight, dy and bias where there is one.
    result : str
        ``y``, ``dx``, ``dw`` or ``db``.
    got : array
        The answer, beyond its limit or the warning line.
    magnitude : Magnitude
        S and K of the elements of the result.
    form, accumulation : FloatFormat
        Formats of the result and of its sums.

    Returns
    -------
    str
        ``computed in float32`` where a float64 answer is within the limit of that; ``inputs rounded to tf32``
        (bfloat16, float16) where it is within the limit of exactly that computation, all names where several leave the
        same operands; ``sums kept in float16`` (bfloat16) where it is within the limit of that; else nothing.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what a narrower format cannot hold is infinite there
        return _explained(spec, operands, result, got.astype(np.float64), magnitude, form, accumulation)


def _explained(
    spec: Spec,
    operands: Mapping[str, Array],
    result: str,
    answer: Floats,
    magnitude: Magnitude,
    form: FloatFormat,
    accumulation: FloatFormat,
) -> str:
    wide = {name: operand.astype(np.float64) for name, operand in operands.items()}
    if form.name == "float64":
        golden = batched_result(spec, {name: to_single(operand) for name, operand in wide.items()}, result)
        if (np.abs(answer - golden) <= limit(magnitude, golden, form, FORMATS["float32"])).all():
            return "computed in float32"
    roundings = {name: _rounded(wide, rounding) for name, rounding in ROUNDINGS.items()}
    for rounded in roundings.values():
        golden = batched_result(spec, rounded, result)
        if (np.abs(answer - golden) <= limit(magnitude, golden, form, accumulation)).all():
            return "inputs rounded to " + " or ".join(name for name in roundings if _same(roundings[name], rounded))
    golden = batched_result(spec, wide, result)
    # Limits are wide, and float16's holds most sums kept in bfloat16; but such sums are numbers of that format.
    likely = [name for name in reversed(HALVES) if _fits(answer, name)]
    for name in (form.name,) if form.name in HALVES else (*likely, *HALVES):
        if (np.abs(answer - golden) <= limit(magnitude, golden, form, FORMATS[name])).all():
            return f"sums kept in {name}"
    return ""


def _rounded(operands: Mapping[str, Floats], rounding: Callable[[Floats], Floats]) -> dict[str, Floats]:
    """Return the operands of products rounded; the bias is no such operand."""
    return {name: array if name == "bias" else rounding(array) for name, array in operands.items()}


def _same(left: Mapping[str, Floats], right: Mapping[str, Floats]) -> bool:
    """Return whether two sets of operands are equal: float16 keeps as many bits as TF32 does, of fewer binades."""
    return all(np.array_equal(left[name], right[name]) for name in left)


def _fits(answer: Floats, name: str) -> bool:
    """Return whether every element of an answer is a number of the format `name`, as sums kept in it are."""
    return bool((answer == ROUNDINGS[name](answer)).all())


def batched_result(spec: Spec, operands: Mapping[str, Floats], result: str) -> Floats:
    """Return one result in float64, whose own rounding is far below any limit of the formats explained here."""
    x, weight, dy = operands["x"], operands["weight"], operands["dy"]
    if result == "y":
        return batched.forward(spec, x, weight, operands.get("bias"))
    gradients = dict(zip(("dx", "dw", "db"), batched.vjp(spec, x, weight, dy), strict=True))
    found = gradients[result]
    assert found is not None
    return found
