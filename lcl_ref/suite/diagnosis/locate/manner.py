"""In what way answers are wrong: which elements, and what stands in their place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.axes import axis_names
from lcl_ref.suite.diagnosis.locate.parts import Part
from lcl_ref.suite.formats import FORMATS

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
"""What was answered, and what is right."""


ROUNDINGS = 64
"""By so many roundings quotients may lie apart that are the same otherwise."""

LIKELY = 8
"""So many numbers are rounded the same way by no chance."""


def manner(wrong: list[Part]) -> str:
    """Return in what way all wrong answers are wrong, or nothing."""
    pairs = [_arrays(part) for part in wrong]
    if any(got.shape != want.shape for got, want in pairs):
        return "" if any(got.shape == want.shape for got, want in pairs) else "in another shape"
    unit = max(FORMATS[part.seen.task.dtype].unit_roundoff for part in wrong)
    return ", ".join([*_places(wrong, pairs), *_values(pairs, unit)])


def _arrays(part: Part) -> Pair:
    (name,) = part.seen.answers
    return part.seen.wide[name], part.seen.task.golden[name].astype(np.float64)


def _differs(got: NDArray[np.float64], want: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((got != want) & ~(np.isnan(got) & np.isnan(want)))


def _values(pairs: list[Pair], unit: float) -> Iterator[str]:
    """Yield what stands in the place of right numbers; `unit` is the coarsest unit roundoff of the answers."""
    got = np.concatenate([one[_differs(one, want)] for one, want in pairs])
    want = np.concatenate([right[_differs(one, right)] for one, right in pairs])
    if not got.size:
        return
    if (got == 0).all():
        yield "0 in the place of the number"
    elif np.isnan(got).all():
        yield "NaN in the place of the number"
    elif np.isfinite(got).all() and np.isfinite(want).all() and (want != 0).all():
        ratio = got / want
        if (np.abs(ratio / ratio[0] - 1) <= ROUNDINGS * unit).all():
            yield f"{round(float(ratio[0]), 4):g} times the number"
        elif got.size >= LIKELY and ((ratio < 1) & (ratio > 1 - 1 / 64)).all():
            yield "every number nearer 0 than the right one: rounded toward zero"


def _places(wrong: list[Part], pairs: list[Pair]) -> Iterator[str]:
    """Yield along which axes only the first or last is wrong, or never the first."""
    for axis in sorted(set.intersection(*(set(_axes(part)) for part in wrong))):
        told = []
        for part, (got, want) in zip(wrong, pairs, strict=True):
            place = _axes(part).index(axis)
            if got.shape[place] > 1:
                found = set(np.unique(np.nonzero(_differs(got, want))[place]).tolist())
                told.append((found, got.shape[place]))
        if len(told) > 1:
            yield from _along(axis, told)


def _along(axis: str, told: list[tuple[set[int], int]]) -> Iterator[str]:
    """Yield what holds of all sets of wrong indices of an axis, each with its length."""
    if all(found == {0} for found, _ in told):
        yield f"at {axis} = 0 only"
    elif all(found == {length - 1} for found, length in told):
        yield f"at the last {axis} only"
    elif all(0 not in found for found, _ in told):
        yield f"never at {axis} = 0"


def _axes(part: Part) -> tuple[str, ...]:
    tensor = {"y": "y", "dw": "weight", "db": f"bias/{part.seen.task.spec.bias}"}.get(part.label, "x")
    rank = part.seen.task.spec.rank
    return axis_names("bias/channel" if tensor.startswith("bias") and not rank else tensor, rank)
