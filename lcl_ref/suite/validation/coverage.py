"""Coverage: which settings the golden data ever asks for together, two at a time and three (SPEC clause 11.6).

Every cell (case, operation, dtype) that the golden data answers has one value of each of `PARAMETERS`. A pair is two
values of different parameters, a triple three; it is legal unless `IMPOSSIBLE` excludes one of its pairs. The core tier
asks for all legal pairs, all cases together for all legal triples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPS, sharing_kind
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.judge.tasks import cell_exists

Setting = tuple[str, str]
"""A parameter and one of its values."""

Together = tuple[Setting, ...]
"""Settings of different parameters, in the order of `PARAMETERS`: a pair or a triple."""

PAIRS, TRIPLES = 2, 3

FORMAT = "lcl-coverage/1"
NO_AXIS = "no axis"

PARAMETERS: dict[str, tuple[str, ...]] = {
    "rank": ("0", "1", "2", "3"),
    "stride": (NO_AXIS, "unit", "within", "tiling", "gaps"),
    "dilation": (NO_AXIS, "unit", "dilated"),
    "padding": (NO_AXIS, "valid", "symmetric", "more before", "more after", "whole windows"),
    "groups": ("one", "some", "depthwise", "table"),
    "sharing": ("none", "some", "all"),
    "bias": ("none", "channel", "position"),
    "batch": ("empty", "one", "several"),
    "dtype": DTYPES,
    "op": OPS,
}
"""Parameter -> its values, as `settings_of` finds them."""

SPATIAL = ("stride", "dilation", "padding")


@dataclass(frozen=True)
class Impossible:
    """A value of one parameter that excludes values of another, and why."""

    setting: Setting
    parameter: str
    values: tuple[str, ...]
    why: str

    def pairs(self) -> Iterator[frozenset[Setting]]:
        """Yield the pairs that it excludes."""
        return (frozenset({self.setting, (self.parameter, value)}) for value in self.values)

    def excludes(self, pair: Together) -> bool:
        """Return whether `pair` is excluded, in either order."""
        return frozenset(pair) in set(self.pairs())


def _without_axes() -> Iterator[Impossible]:
    """Yield the rules of rank 0: it has no axis to stride, dilate, pad or share, and every other rank has one."""
    for name in SPATIAL:
        yield Impossible(("rank", "0"), name, PARAMETERS[name][1:], "rank 0 has no axis")
        for rank in PARAMETERS["rank"][1:]:
            yield Impossible(("rank", rank), name, (NO_AXIS,), f"rank {rank} has an axis")
        yield Impossible((name, NO_AXIS), "sharing", ("some", "all"), "rank 0 has no axis to share")
    for one, other in product(SPATIAL, SPATIAL):
        if one != other:
            yield Impossible((one, NO_AXIS), other, PARAMETERS[other][1:], "both have an axis or neither has")


IMPOSSIBLE: tuple[Impossible, ...] = (
    *_without_axes(),
    Impossible(("rank", "0"), "sharing", ("some", "all"), "rank 0 has no axis to share"),
    Impossible(("rank", "1"), "sharing", ("some",), "of one axis, none is shared or all are"),
    Impossible(("stride", "tiling"), "dilation", ("dilated",), "dilated windows leave elements between their taps"),
    Impossible(
        ("stride", "tiling"), "padding", PARAMETERS["padding"][2:], "windows that tile the input leave nothing to pad"
    ),
)
"""Every pair that cannot be, by rule."""


def legal(size: int = PAIRS) -> list[Together]:
    """Return every legal pair, or triple, in the order of `PARAMETERS`."""
    settings = [[(name, value) for value in values] for name, values in PARAMETERS.items()]
    excluded = {pair for rule in IMPOSSIBLE for pair in rule.pairs()}
    every = (found for chosen in combinations(settings, size) for found in product(*chosen))
    return [found for found in every if not any(frozenset(pair) in excluded for pair in combinations(found, PAIRS))]


def settings_of(spec: Spec, batch: int) -> dict[str, str]:
    """Return the value of every parameter that is a matter of the layer and its batch."""
    return {
        "rank": str(spec.rank),
        "stride": _stride(spec),
        "dilation": _dilation(spec),
        "padding": _padding(spec),
        "groups": _groups(spec),
        "sharing": sharing_kind(spec),
        "bias": spec.bias,
        "batch": ("empty", "one")[batch] if batch < 2 else "several",
    }


def _extents(spec: Spec) -> list[int]:
    return [window_extent(*axis) for axis in zip(spec.kernel_size, spec.dilation, strict=True)]


def _stride(spec: Spec) -> str:
    """``gaps``: elements between windows are not read; ``tiling``: each element is read by exactly one window."""
    if not spec.rank:
        return NO_AXIS
    covered = tuple(o * k for o, k in zip(spec.output_size, spec.kernel_size, strict=True))
    if spec.stride == spec.kernel_size and covered == spec.input_size and not any(map(any, spec.padding)):
        return "tiling"
    if any(step > extent for step, extent in zip(spec.stride, _extents(spec), strict=True)):
        return "gaps"
    return "unit" if set(spec.stride) == {1} else "within"


def _dilation(spec: Spec) -> str:
    """``dilated`` only where there are two taps to lie apart."""
    if not spec.rank:
        return NO_AXIS
    return "unit" if tuple(_extents(spec)) == spec.kernel_size else "dilated"


def _padding(spec: Spec) -> str:
    """Return the first that holds: whole windows in the padding, more zeros before, more after, as many."""
    if not spec.rank:
        return NO_AXIS
    if not any(map(any, spec.padding)):
        return "valid"
    if _a_window_sees_no_input(spec):
        return "whole windows"
    if any(lo > hi for lo, hi in spec.padding):
        return "more before"
    return "more after" if any(lo < hi for lo, hi in spec.padding) else "symmetric"


def _a_window_sees_no_input(spec: Spec) -> bool:
    return any(
        not any(0 <= o * stride + k * spread - lo < size for k in range(taps))
        for size, taps, stride, spread, (lo, _), positions in zip(
            spec.input_size, spec.kernel_size, spec.stride, spec.dilation, spec.padding, spec.output_size, strict=True
        )
        for o in range(positions)
    )


def _groups(spec: Spec) -> str:
    if spec.channel_table is not None:
        return "table"
    if spec.groups == 1:
        return "one"
    return "depthwise" if spec.groups == spec.in_channels else "some"


def asked_by(entry: Mapping[str, Any], size: int = PAIRS, dtypes: Iterable[str] = DTYPES) -> set[Together]:
    """Return the pairs, or triples, that the cells of one case of the golden data's index ask for, in some dtypes.

    Results of an empty batch hold nothing to be wrong, so such a case answers only for those with ``batch``.
    """
    layer = settings_of(Spec.from_dict(entry["spec"]), entry["batch"])
    found: set[Together] = set()
    for op, dtype in product(OPS, dtypes):
        if cell_exists(entry, op, dtype):
            cell = layer | {"dtype": dtype, "op": op}
            found.update(combinations([(name, cell[name]) for name in PARAMETERS], size))
    if entry["batch"]:
        return found
    return {together for together in found if ("batch", "empty") in together}


def coverage(entries: Iterable[Mapping[str, Any]], size: int = PAIRS) -> dict[Together, list[str]]:
    """Return for every legal pair, or triple, the ids of the cases whose cells ask for it."""
    cases: dict[Together, list[str]] = {together: [] for together in legal(size)}
    for entry in entries:
        for together in asked_by(entry, size):
            cases[together].append(entry["id"])
    return cases


def by_parameters(covered: Mapping[Together, list[str]]) -> dict[tuple[str, ...], list[Together]]:
    """Return parameters -> their legal values together, in the order of `PARAMETERS`."""
    groups: dict[tuple[str, ...], list[Together]] = {}
    for together in covered:
        groups.setdefault(tuple(name for name, _ in together), []).append(together)
    return groups


def as_dict(covered: Mapping[Together, list[str]], triples: Mapping[Together, list[str]]) -> dict[str, Any]:
    """Return coverage as JSON-ready values."""
    count = _asked(covered)
    head = {"format": FORMAT, "legal": len(covered), "covered": count, "parameters": PARAMETERS}
    return head | {"pairs": _rows(covered), "triples": _summary(triples)}


def _asked(covered: Mapping[Together, list[str]]) -> int:
    return sum(1 for cases in covered.values() if cases)


def _summary(covered: Mapping[Together, list[str]]) -> dict[str, Any]:
    return {
        "legal": len(covered),
        "covered": _asked(covered),
        "missing": [row for row in _rows(covered) if row["missing"]],
    }


def _rows(covered: Mapping[Together, list[str]]) -> list[dict[str, Any]]:
    rows = []
    for parameters, together in by_parameters(covered).items():
        missing = [[value for _, value in each] for each in together if not covered[each]]
        rows.append({"parameters": list(parameters), "legal": len(together), "missing": missing})
    return rows
