"""Families: the layers that people write, and whether each known mistake is seen inside each of them (SPEC 11.7).

A layer that supports one family alone is asked no other case. So a mistake must be seen by a case of the family itself,
not only by some case of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal, get_args

import numpy as np

from lcl_ref.core.spec import Bias, Spec
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.diagnosis.deviations import Deviation, Refused, results
from lcl_ref.suite.diagnosis.deviations.deviation import touches
from lcl_ref.suite.judge.compare import same_results
from lcl_ref.suite.validation.equivalence import draw
from lcl_ref.suite.validation.mutants import KillMatrix

PaddingKind = Literal["none", "equal", "unequal"]
RANKS = (1, 2, 3)
STRIDES = (1, 2)
BIASES: tuple[Bias, ...] = ("position", "channel", "none")

BATCH = 2
"""Samples of the layers that show whether a mistake can exist."""


@dataclass(frozen=True)
class Family:
    """Ungrouped, unshared layers without dilation whose square windows overlap.

    Parameters
    ----------
    rank : int
        Spatial axes.
    padding : {"none", "equal", "unequal"}
        As many zeros before an axis as after it: none, the same on every axis, or not the same on every axis.
    stride : int
        On every axis.
    bias : str
        As in `Spec`.
    same_channels : bool
        Whether there are as many input as output channels.
    """

    rank: int
    padding: PaddingKind
    stride: int
    bias: Bias
    same_channels: bool

    def __str__(self) -> str:
        channels = "in == out" if self.same_channels else "in != out"
        return f"{self.rank}-D, padding {self.padding}, stride {self.stride}, bias {self.bias}, {channels}"


PADDINGS: tuple[PaddingKind, ...] = get_args(PaddingKind)

FAMILIES: tuple[Family, ...] = tuple(
    Family(rank, padding, stride, bias, same_channels)
    for rank, padding, stride, bias, same_channels in product(RANKS, PADDINGS, STRIDES, BIASES, (True, False))
    if (rank, padding) != (1, "unequal")
)


def family_of(spec: Spec) -> Family | None:
    """Return the family of a layer, or None where it is in none."""
    windows, steps = set(spec.kernel_size), set(spec.stride)
    if spec.rank == 0 or len(windows) > 1 or len(steps) > 1 or min(windows) <= min(steps) or not steps <= set(STRIDES):
        return None
    connected = spec.groups > 1 or spec.channel_table is not None or any(spec.shared)
    if connected or set(spec.dilation) != {1} or any(lo != hi for lo, hi in spec.padding):
        return None
    return Family(spec.rank, _padding(spec), spec.stride[0], spec.bias, spec.in_channels == spec.out_channels)


def _padding(spec: Spec) -> PaddingKind:
    if not any(map(any, spec.padding)):
        return "none"
    return "equal" if len(set(spec.padding)) == 1 else "unequal"


def members(cases: Iterable[Case] = CASES) -> dict[Family, list[Case]]:
    """Return family -> its exact cases with several samples, positions and channels."""
    found: dict[Family, list[Case]] = {family: [] for family in FAMILIES}
    for case in cases:
        family = family_of(case.spec) if case.values == "exact" and not case.generated else None
        if family and case.batch > 1 and min(case.spec.in_channels, case.spec.out_channels, *case.spec.output_size) > 1:
            found[family].append(case)
    return found


@dataclass(frozen=True)
class Survivor:
    """A known mistake that a family can have and that no case of it sees in one operation."""

    family: Family
    deviation: str
    op: str

    def __str__(self) -> str:
        return f"{self.deviation}: {self.op} killed by no case of the family {self.family}"


@dataclass(frozen=True)
class Seen:
    """How many mistakes, each in a family and an operation where it can exist, are seen, and which are not."""

    killed: int
    survivors: tuple[Survivor, ...]


def seen(matrix: KillMatrix) -> Seen:
    """Ask for every family which mistakes its own cases kill, and of the others whether they can exist in it.

    Deviations of kind ``layer`` and ``derivative`` are asked; the others are no matter of the family's settings.
    """
    asked = {case.id for case in matrix.cases}
    killed, survivors = 0, []
    for family, cases in members().items():
        ids = {case.id for case in cases} & asked
        for deviation, op in _asked(matrix.deviations):
            if ids & matrix.killers_by_op.get((deviation.id, op), frozenset()):
                killed += 1
            elif can_exist(family, deviation, op):
                survivors.append(Survivor(family, deviation.id, op))
    return Seen(killed, tuple(survivors))


def _asked(deviations: Iterable[Deviation]) -> Iterator[tuple[Deviation, str]]:
    for deviation in deviations:
        if deviation.kind in ("layer", "derivative"):
            yield from ((deviation, op) for op in deviation.ops)


def can_exist(family: Family, deviation: Deviation, op: str) -> bool:
    """Return whether the mistake makes a difference to some layer of the family: `layers` are tried in turn."""
    return any(_differs(spec, deviation, op) for spec in layers(family))


def _differs(spec: Spec, deviation: Deviation, op: str) -> bool:
    if not touches(spec, BATCH, deviation, op):
        return False
    operands, right = _question(spec, op)
    try:
        wrong = results(spec, operands, (deviation,), op)
    except Refused:
        return True
    return not same_results(right, wrong)


@cache
def _question(spec: Spec, op: str) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    operands = draw(spec, BATCH)
    return operands, results(spec, operands, (), op)


@cache
def layers(family: Family) -> tuple[Spec, ...]:
    """Return layers of a family, long axes before short and the other way round, with and without elements left over.

    They have more channels, positions and padding than most cases.
    """
    return tuple(_layer(family, sizes) for sizes in ((9, 7, 6), (6, 7, 8)))


def _layer(family: Family, sizes: tuple[int, ...]) -> Spec:
    zeros = {"none": (0, 0, 0), "equal": (1, 1, 1), "unequal": (2, 1, 2)}[family.padding]
    return Spec(
        input_size=sizes[: family.rank],
        in_channels=5,
        out_channels=5 if family.same_channels else 6,
        kernel_size=3,
        stride=family.stride,
        padding=tuple((zero, zero) for zero in zeros[: family.rank]),
        bias=family.bias,
    )
