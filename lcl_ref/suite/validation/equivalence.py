"""Showing that a deviation makes no difference to a layer, whatever the operands.

y, dx, dw and db of a layer and of its deviations are polynomials of the operands, so two layers are equal if and only
if the difference of their results is the zero polynomial. A polynomial of degree 2 that is not zero vanishes at a point
drawn from m values per variable with probability at most 2/m (Schwartz and Zippel). Operands are drawn from 2^21
integers, twice: a false claim of equivalence has a chance below 2^-39. All sums stay below 2^53, so float64 is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.diagnosis.deviations import Deviation, Refused, results
from lcl_ref.suite.judge.compare import same_results

Array = NDArray[Any]
Operands = dict[str, Array]

DRAWS = 2
HALF_RANGE = 2**20
SEED = 20


def equivalent(spec: Spec, batch: int, deviation: Deviation, op: str) -> bool:
    """Return whether the deviation leaves `op` of the layer as it is for all operands.

    Deviations of kind ``precision`` are no polynomials and are never called equivalent; those of kind ``nonfinite`` are
    asked with an infinity at every place in turn.
    """
    if deviation.kind in ("precision", "behaviour"):
        return False
    try:
        return all(
            same_results(right, results(spec, operands, (deviation,), op))
            for operands, right in _points(spec, batch, op, deviation.kind == "nonfinite")
        )
    except Refused:
        return False


@lru_cache(maxsize=8)
def _points(spec: Spec, batch: int, op: str, infinite: bool) -> list[tuple[Operands, Operands]]:
    """Return operands with the right results for them."""
    points = _infinities(spec) if infinite else _draws(spec, batch)
    return [(operands, results(spec, operands, (), op)) for operands in points]


def draw(spec: Spec, batch: int) -> Operands:
    """Return operands drawn from 2^21 integers: the first that `equivalent` asks."""
    return next(_draws(spec, batch))


def _draws(spec: Spec, batch: int) -> Iterator[Operands]:
    stream = np.random.Generator(np.random.Philox(SEED))
    for _ in range(DRAWS):
        yield {
            name: stream.integers(-HALF_RANGE, HALF_RANGE, shape).astype(np.float64)
            for name, shape in spec.operand_shapes(batch).items()
        }


def _infinities(spec: Spec) -> Iterator[Operands]:
    """Yield ones with x all NaN, and with one input element infinite, each in turn."""
    ones = {name: np.ones(shape) for name, shape in spec.operand_shapes(1).items()}
    yield ones | {"x": np.full(spec.x_shape(1), np.nan)}
    for place in range(math.prod(spec.x_shape(1))):
        x = np.ones(spec.x_shape(1))
        x.reshape(-1)[place] = np.inf
        yield ones | {"x": x}
