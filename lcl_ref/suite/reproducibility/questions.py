"""What is asked: layers of the catalogue with reals for operands, under circumstances that change no sum's terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.checks.orders import fortran, transposed
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import values

Array = NDArray[Any]
Arrays = dict[str, Array]

LAYERS = {
    "0d/linear/position-bias": 37,
    "0d/sizes/fan-in-513": 37,
    "1d/padding/uneven-pair": 37,
    "1d/sizes/fan-in-512": 37,
    "1d/sizes/channels-255-to-32": 37,
    "2d/padding/int-per-axis": 37,
    "2d/tiling/position-bias": 37,
    "2d/sizes/fan-in-512": 37,
    "2d/sizes/axis-y-257": 37,
    "3d/kernel/whole-input": 37,
    "3d/sizes/weights-66816": 37,
}
"""Case -> samples: small layers, long sums, many channels, many positions; the batch divides by no vector."""

OPS = ("forward", "vjp")

PER_SAMPLE = ("y", "dx")
"""Results of which every sample has its own; dw and db are sums over all."""


@dataclass(frozen=True)
class Question:
    """A layer and its operands."""

    case: str
    spec: Spec
    operands: Mapping[str, Array]


def questions(dtype: str) -> Iterator[Question]:
    """Yield every question, the same numbers on every machine."""
    for case, batch in LAYERS.items():
        (found,) = select([case])
        shapes = found.spec.operand_shapes(batch)
        yield Question(case, found.spec, {name: _reals(case, name, shape, dtype) for name, shape in shapes.items()})


def _reals(case: str, name: str, shape: tuple[int, ...], dtype: str) -> Array:
    """Return numbers between -1 and 1 with a full significand."""
    drawn = values.raw(f"reproducibility/{case}", name, shape) >> np.uint64(11)
    return (drawn.astype(np.float64) * 2.0**-52 - 1).astype(FORMATS[dtype].dtype)


def _alone(ask: Callable[[Mapping[str, Array]], Arrays], operands: Mapping[str, Array]) -> Arrays:
    """Ask about each sample alone; of sums over samples there is nothing to say."""
    samples = range(len(operands["x"]))
    each = [ask({**operands, **{name: operands[name][n : n + 1] for name in ("x", "dy")}}) for n in samples]
    return {name: np.concatenate([one[name] for one in each]) for name in PER_SAMPLE if name in each[0]}


def _backwards(ask: Callable[[Mapping[str, Array]], Arrays], operands: Mapping[str, Array]) -> Arrays:
    """Ask about the samples in another order."""
    answers = ask({**operands, **{name: operands[name][::-1].copy() for name in ("x", "dy")}})
    return {name: answers[name][::-1] for name in PER_SAMPLE if name in answers}


def _laid(lay: Callable[[Array], Array]) -> Callable[..., Arrays]:
    return lambda ask, operands: ask({**operands, **{name: lay(operands[name]) for name in ("x", "dy")}})


VARIANTS: Mapping[str, Callable[..., Arrays]] = {
    "plain": lambda ask, operands: ask(operands),
    "again": lambda ask, operands: ask(operands),
    "alone": _alone,
    "backwards": _backwards,
    "fortran": _laid(fortran),
    "transposed": _laid(transposed),
}
"""Name -> what asks a layer so: ``(ask, operands) -> answers``, in the order of the plain ones."""
