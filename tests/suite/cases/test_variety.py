"""The cases together ask for everything: every rank, every setting, short and long sums."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.core.padding import PADDING_RULES
from lcl_ref.suite.adapter import padding_is, sharing_kind
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import BY_ID, CASES, REFUSALS

EXACT = [case for case in CASES if case.values == "exact"]
ROUNDED = [case for case in CASES if case.values == "rounded"]
RANKS = (0, 1, 2, 3)


def leftover(spec: lcl.Spec, axis: int) -> int:
    """Elements at the end of an axis that no window reaches."""
    (lo, hi), stride = spec.padding[axis], spec.stride[axis]
    extent = spec.dilation[axis] * (spec.kernel_size[axis] - 1) + 1
    return spec.input_size[axis] + lo + hi - extent - (spec.output_size[axis] - 1) * stride


def test_there_are_enough_cases() -> None:
    assert len(EXACT) >= 120
    assert len(ROUNDED) >= 30
    assert len(REFUSALS) >= 45
    assert {case.spec.rank for case in CASES if case.values == "nonfinite"} == set(RANKS)


@pytest.mark.parametrize("rank", RANKS)
def test_every_rank_has_every_kind_of_channels_bias_and_batch(rank: int) -> None:
    mine = [case for case in EXACT if case.spec.rank == rank]
    specs = [case.spec for case in mine]
    assert {spec.bias for spec in specs} == {"none", "channel", "position"}
    assert any(spec.groups == 1 and spec.channel_table is None for spec in specs)
    assert any(1 < spec.groups < spec.in_channels for spec in specs)
    assert any(spec.groups == spec.in_channels for spec in specs)
    assert any(spec.groups == spec.in_channels < spec.out_channels for spec in specs)
    assert any(spec.channel_table is not None for spec in specs)
    assert {0, 2} <= {case.batch for case in mine}


@pytest.mark.parametrize("rank", RANKS[1:])
def test_every_spatial_rank_has_every_kind_of_geometry(rank: int) -> None:
    specs = [case.spec for case in EXACT if case.spec.rank == rank]
    assert {step for spec in specs for step in spec.stride} >= {1, 2, 3}
    assert {spread for spec in specs for spread in spec.dilation} >= {1, 2, 3}
    assert any(leftover(spec, axis) for spec in specs for axis in range(rank))
    assert any(s > k for spec in specs for s, k in zip(spec.stride, spec.kernel_size, strict=True))
    assert any(set(spec.kernel_size) == {1} for spec in specs)
    assert any(spec.kernel_size == spec.input_size for spec in specs)
    assert {sharing_kind(spec) for spec in specs} >= {"none", "all"} | ({"some"} if rank > 1 else set())
    assert any(spec.groups > 1 and all(spec.shared) for spec in specs)
    assert any(spec.groups > 1 and not any(spec.shared) for spec in specs)
    assert any(_sees_only_padding(spec) for spec in specs)


def _sees_only_padding(spec: lcl.Spec) -> bool:
    reaches = lcl.forward(spec, *(np.ones(shape) for shape in (spec.x_shape(1), spec.weight_shape)), _zeros(spec))
    return bool((reaches == 0).any())


def _zeros(spec: lcl.Spec) -> np.ndarray | None:
    return None if spec.bias_shape is None else np.zeros(spec.bias_shape)


@pytest.mark.parametrize("rank", [2, 3])
def test_settings_differ_per_axis(rank: int) -> None:
    specs = [case.spec for case in EXACT if case.spec.rank == rank]
    for setting in ("stride", "dilation", "padding", "kernel_size", "input_size"):
        assert any(len(set(getattr(spec, setting))) == rank for spec in specs), setting
    shared = {spec.shared for spec in specs}
    assert (True,) + (False,) * (rank - 1) in shared
    assert any(not flags[0] and flags[-1] for flags in shared)
    assert any(spec.groups > 1 and sharing_kind(spec) == "some" for spec in specs) or rank == 3


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", PADDING_RULES)
def test_every_padding_rule_is_used_where_only_it_fits(rank: int, name: str) -> None:
    specs = [case.spec for case in EXACT if case.spec.rank == rank]
    rules = [{rule for rule in PADDING_RULES if padding_is(spec, rule)} for spec in specs]
    assert {name} in rules


@pytest.mark.parametrize(
    ("rank", "pairs"),
    [
        (1, [((0, 1),), ((1, 0),), ((2, 0),)]),
        (2, [((0, 1), (0, 1)), ((1, 0), (1, 0)), ((2, 0), (1, 0))]),
    ],
)
def test_the_three_same_rules_differ_on_one_geometry(rank: int, pairs: list) -> None:
    names = ("same-upper", "same-lower", "same-keras-local")
    same = [BY_ID[f"{rank}d/padding/{name}-stride"].spec for name in names]
    assert [spec.padding for spec in same] == pairs
    assert len({(spec.input_size, spec.kernel_size, spec.stride) for spec in same}) == 1


def test_adapters_of_plain_layers_meet_enough_cases() -> None:
    plain = [
        case
        for case in EXACT
        if case.spec.rank in (1, 2)
        and case.spec.groups == 1
        and case.spec.channel_table is None
        and set(case.spec.dilation) == {1}
        and case.spec.bias != "channel"
        and not any(case.spec.shared)
        and (padding_is(case.spec, "valid") or padding_is(case.spec, "same_keras_local"))
    ]
    assert len(plain) >= 30


def test_adapters_of_tiling_layers_meet_enough_cases() -> None:
    tiled = [case.spec for case in EXACT if "tiling" in case.tags and case.spec.rank in (1, 2)]
    assert len(tiled) >= 8
    assert {(spec.rank, spec.bias) for spec in tiled} == {
        (rank, bias) for rank in (1, 2) for bias in ("none", "channel", "position")
    }


def test_rounded_cases_have_short_and_long_sums_in_every_rank() -> None:
    for rank in RANKS:
        terms = [case.spec.fan_in for case in ROUNDED if case.spec.rank == rank]
        assert max(terms) >= 300
        assert min(terms) <= 6
        assert max(_samples(case) for case in ROUNDED if case.spec.rank == rank) >= 280


def _samples(case: Case) -> int:
    """Products in the longest weight cotangent: samples times the positions that share a weight."""
    axes = zip(case.spec.output_size, case.spec.shared, strict=True)
    return case.batch * math.prod(size for size, shared in axes if shared)
