"""Sums whose every operation rounds in one direction, or a tie away from zero (SPEC 8.3, 12.11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.limits.summation import Terms, two_product, two_sum

Array = NDArray[Any]
Floats = NDArray[np.float64]

Direction = Callable[[Array, Array], Array]
"""``(nearest, rest) -> rounded`` of the exact number ``nearest + rest``, of whose rest the sign counts."""


def toward_zero(nearest: Array, rest: Array) -> Array:
    """Return the neighbour of smaller magnitude."""
    return np.where(nearest * np.sign(rest) < 0, np.nextafter(nearest, 0), nearest)


def away_from_zero(nearest: Array, rest: Array) -> Array:
    """Return the neighbour of larger magnitude."""
    outwards = np.copysign(np.array(np.inf, nearest.dtype), nearest)
    return np.where(nearest * np.sign(rest) > 0, np.nextafter(nearest, outwards), nearest)


def upwards(nearest: Array, rest: Array) -> Array:
    """Return the larger neighbour."""
    return np.where(rest > 0, np.nextafter(nearest, np.array(np.inf, nearest.dtype)), nearest)


def downwards(nearest: Array, rest: Array) -> Array:
    """Return the smaller neighbour."""
    return np.where(rest < 0, np.nextafter(nearest, np.array(-np.inf, nearest.dtype)), nearest)


DIRECTIONS: dict[str, Direction] = {
    "toward zero": toward_zero,
    "away from zero": away_from_zero,
    "upwards": upwards,
    "downwards": downwards,
}


def added(a: Array, b: Array, direction: Direction) -> Array:
    """Return ``a + b`` rounded in a direction."""
    return direction(*two_sum(a, b))


def multiplied(a: Array, b: Array, direction: Direction) -> Array:
    """Return ``a * b`` rounded in a direction."""
    if a.dtype == np.float32:
        exact = a.astype(np.float64) * b.astype(np.float64)
        nearest = exact.astype(np.float32)
        return direction(nearest, exact - nearest)
    return direction(*two_product(a, b))


def serial(terms: Terms, direction: Direction) -> Array:
    """From the bias on, one product after the other."""
    total = terms.start
    for k in range(terms.left.shape[1]):
        total = added(total, multiplied(terms.left[:, k], terms.right[:, k], direction), direction)
    return total
