"""What a deviation may do to an array before or after the sums: a linear map, with its adjoint for the derivatives.

Hooks keep the shape of the array, so that any two of them can follow each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Hook(Protocol):
    """A linear map on arrays of one shape."""

    def apply(self, array: Array) -> Array:
        """Return the mapped array."""

    def adjoint(self, cotangent: Array) -> Array:
        """Return the adjoint of `apply`, which is its vector-Jacobian product."""


@dataclass(frozen=True)
class Move:
    """A rearrangement: every element of the result is one element of the argument, or zero.

    The adjoint needs no formula of its own: moving the numbers 1, 2, 3, ... tells where each element goes.
    """

    rearrange: Callable[[Array], Array]

    def apply(self, array: Array) -> Array:
        """Return the rearranged array."""
        return self.rearrange(array)

    def adjoint(self, cotangent: Array) -> Array:
        """Add every element of the result back onto the element it came from."""
        numbers = np.arange(1, cotangent.size + 1).reshape(cotangent.shape)
        sources = self.rearrange(numbers).reshape(-1)
        sums = np.bincount(sources, cotangent.reshape(-1), cotangent.size + 1)
        return sums[1:].reshape(cotangent.shape)


@dataclass(frozen=True)
class Linear:
    """A linear map given with its adjoint."""

    apply: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]


def forth(hooks: Iterable[Hook], array: Array) -> Array:
    """Send an array through `hooks`, first to last."""
    for hook in hooks:
        array = hook.apply(array)
    return array


def back(hooks: Iterable[Hook], cotangent: Array) -> Array:
    """Pull a cotangent back through `hooks`, last to first."""
    for hook in reversed(tuple(hooks)):
        cotangent = hook.adjoint(cotangent)
    return cotangent
