"""Kinds of whole-number operands besides the plain one: zeros, and magnitudes that just fit a format (SPEC 11.10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.golden import values

Array = NDArray[Any]
Arrays = dict[str, Array]

SMALL = values.AMPLITUDES[0]


def of_amplitudes(case: Case, **amplitudes: int) -> Arrays:
    """Return int64 operands from ``-a`` to ``a`` without 0, `SMALL` where nothing is said."""
    shapes = case.spec.operand_shapes(case.batch)
    given = {"bias": values.BIAS_AMPLITUDE} | amplitudes
    return {name: values.integers(case.id, name, shape, given.get(name, SMALL)) for name, shape in shapes.items()}


def zero_windows(case: Case) -> Arrays:
    """Return an x and dy whose first sample is 0, and 0 in the first half of every sample along its last axis."""
    operands = of_amplitudes(case)
    for name in ("x", "dy"):
        operands[name][0] = 0
        if case.spec.rank:
            operands[name][..., : (operands[name].shape[-2] + 1) // 2, :] = 0
    return operands


def zero_kernels(case: Case) -> Arrays:
    """Return a weight that is 0 at the first half of the positions of its last axis, and for the first output."""
    operands = of_amplitudes(case)
    weight, rank = operands["weight"], case.spec.rank
    weight[..., 0] = 0
    if rank:
        positions = np.moveaxis(weight, rank - 1, 0)
        positions[: len(positions) // 2] = 0
    return operands


def zero_data(case: Case) -> Arrays:
    """Return an x and dy that are 0 everywhere."""
    operands = of_amplitudes(case)
    return operands | {name: np.zeros_like(operands[name]) for name in ("x", "dy")}


def zero_weight(case: Case) -> Arrays:
    """Return a weight that is 0 everywhere."""
    operands = of_amplitudes(case)
    return operands | {"weight": np.zeros_like(operands["weight"])}


def scattered_zeros(case: Case) -> Arrays:
    """Return operands of which every other number, by its raw bits, is 0."""
    return {name: values.thinned(case.id, name, operand, 2) for name, operand in of_amplitudes(case).items()}


def large(*names: str, positive: bool = False) -> Callable[[Case, int], Arrays]:
    """Return the kind in which the operands `names` go up to an amplitude, and the bias to that of the products."""

    def drawn(case: Case, amplitude: int) -> Arrays:
        given = dict.fromkeys(names, amplitude)
        given["bias"] = given.get("x", SMALL) * given.get("weight", SMALL)
        operands = of_amplitudes(case, **given)
        return {name: abs(operand) for name, operand in operands.items()} if positive else operands

    return drawn


ZEROS: dict[str, Callable[[Case], Arrays]] = {
    "zero-windows": zero_windows,
    "zero-kernels": zero_kernels,
    "zero-data": zero_data,
    "zero-weight": zero_weight,
    "scattered-zeros": scattered_zeros,
}
"""Kind -> operands that hold zeros."""

LARGE: dict[str, Callable[[Case, int], Arrays]] = {
    "large": large("x", "weight", "dy"),
    "large-positive": large("x", "weight", "dy", positive=True),
    "large-x": large("x"),
    "large-weight": large("weight"),
    "large-dy": large("dy"),
}
"""Kind -> operands of a case with an amplitude, which is the largest that its number of bits allows."""


def largest(case: Case, peak: Callable[[Arrays], int]) -> Arrays:
    """Return the operands of a `LARGE` kind whose `peak` is at most ``2**case.bits``, found by bisection."""
    drawn, low, high = LARGE[case.operands], 1, 2**case.bits
    while high - low > 1:
        middle = (low + high) // 2
        fits = middle**2 <= 2**62 and peak(drawn(case, middle)) <= 2**case.bits
        low, high = (middle, high) if fits else (low, middle)
    return drawn(case, low)
