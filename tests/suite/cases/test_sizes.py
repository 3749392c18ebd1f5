"""Cases of sizes lie at the sizes that kernels break at, and on either side of each."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import CORE
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store

STORE = Store(default_root())
SIZES = [case for case in CASES if case.generated]
CHANNELS = (16, 32, 64, 128, 256)


def found(measure: Callable[[Case], list[int]], ranks: tuple[int, ...]) -> dict[int, set[int]]:
    """What the cases of each rank measure."""
    return {rank: {size for case in SIZES if case.spec.rank == rank for size in measure(case)} for rank in ranks}


def around(*thresholds: int) -> set[int]:
    return {threshold + step for threshold in thresholds for step in (-1, 0, 1)}


@pytest.mark.parametrize("side", ["in_channels", "out_channels"])
def test_channels(side: str) -> None:
    each = found(lambda case: [getattr(case.spec, side)] if "/channels-" in case.id else [], (0, 1, 2, 3))
    assert each[1] == each[2] == around(*CHANNELS)
    assert all(len(each[rank] & around(*CHANNELS)) == 5 for rank in (0, 3))


def test_terms_axes_and_batches() -> None:
    terms = found(lambda case: [case.spec.fan_in], (0, 1, 2, 3))
    assert all(terms[rank] >= around(512) for rank in (0, 1, 2))
    assert terms[3] >= {512, 520}
    axes = found(lambda case: list(case.spec.input_size), (1, 2, 3))
    assert axes[1] >= around(64, 128, 256, 1024)
    assert axes[2] >= around(64, 128, 256) | {1024, 1025}
    assert axes[3] >= around(64) | {128, 129, 256, 257}
    batches = found(lambda case: [case.batch], (0, 1, 2, 3))
    assert all(batches[rank] >= around(32, 64) for rank in (0, 1, 2))
    assert batches[3] >= {32, 33, 65}


def test_window_settings() -> None:
    kernels = found(lambda case: list(case.spec.kernel_size), (1, 2, 3))
    padding = found(lambda case: [lo for lo, _ in case.spec.padding], (1, 2, 3))
    dilation = found(lambda case: list(case.spec.dilation), (1, 2, 3))
    assert all(kernels[rank] >= {5, 6, 7} for rank in kernels)
    assert all(padding[rank] >= {5, 6, 7} for rank in padding)
    assert all(dilation[rank] >= {3, 4, 5} for rank in dilation)


def test_weights_positions_and_groups() -> None:
    weights = found(lambda case: [math.prod(case.spec.weight_shape)], (1, 2, 3))
    positions = found(lambda case: [math.prod(case.spec.output_size)], (1, 2))
    for rank in (1, 2):
        assert {65535, 65536} <= weights[rank]
        assert any(65536 < size < 67000 for size in weights[rank])
        assert 65536 in positions[rank]
        assert any(65536 < size < 66000 for size in positions[rank])
    assert 65535 in positions[1]
    groups = found(lambda case: [case.spec.groups], (0, 1, 2, 3))
    assert all(groups[rank] >= around(16) for rank in (1, 2))
    multipliers = [case.spec.out_channels // case.spec.groups for case in SIZES if case.spec.group_channels == 1]
    assert set(multipliers) >= {2, 3}


def test_sums_are_exact_in_single_precision_and_answers_mostly_not_zero() -> None:
    for case in SIZES:
        assert max(STORE.entries[case.id]["certificate"].values()) <= 2**24, case.id
    short = [case for case in SIZES if STORE.entries[case.id]["certificate"]["y"] <= 2**8]
    assert len(short) >= len(SIZES) - 2


def test_core_has_some_of_every_rank() -> None:
    assert {case.spec.rank for case in SIZES if case.id in CORE} == {0, 1, 2, 3}
