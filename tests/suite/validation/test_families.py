"""Inside every family of layers that people write, every known mistake that it can have is killed."""

from __future__ import annotations

import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.diagnosis.deviations import find
from lcl_ref.suite.validation.families import FAMILIES, Family, can_exist, family_of, layers, members, seen
from lcl_ref.suite.validation.mutants import KillMatrix
from tests.support.kills import matrix
from tests.support.tables import table

PLAIN = {"input_size": (9, 7), "in_channels": 3, "out_channels": 4, "kernel_size": 3}


def test_every_mistake_is_killed_inside_every_family_that_can_have_it() -> None:
    found = seen(matrix())
    assert [str(survivor) for survivor in found.survivors] == []
    assert found.killed > 100 * len(FAMILIES)


def test_every_family_has_a_case_and_images_wider_than_high_and_higher_than_wide() -> None:
    found = members()
    assert [family for family, cases in found.items() if not cases] == []
    for rank in (2, 3):
        specs = [case.spec for family, cases in found.items() if family.rank == rank for case in cases]
        assert any(spec.input_size[-2] > spec.input_size[-1] for spec in specs)
        assert any(spec.input_size[-2] < spec.input_size[-1] for spec in specs)


def test_layers_of_a_family_are_in_it() -> None:
    assert all(family_of(spec) == family for family in FAMILIES for spec in layers(family))


@pytest.mark.parametrize(("changes", "family"), table(__file__, "layers.toml")["families"]["rows"])
def test_the_family_of_a_layer(changes: dict, family: list) -> None:
    assert family_of(lcl.Spec(**PLAIN | changes)) == (Family(*family) if family else None)


def test_what_cannot_be_in_a_family_is_not_asked_of_it() -> None:
    plain, padded = Family(2, "none", 1, "position", True), Family(2, "unequal", 1, "position", True)
    swapped = find("padding/axes-swapped")
    assert can_exist(padded, swapped, "forward")
    assert not can_exist(plain, swapped, "forward")
    assert not can_exist(padded, find("groups/ignored"), "forward")
    assert not can_exist(padded, find("dilation/ignored"), "forward")


def test_a_family_without_its_cases_lets_mistakes_through() -> None:
    """As before there were cases of families: padding axes swapped under a square kernel and a bias per position."""
    whole = matrix()
    cases = tuple(case for case in CASES if case.topic != "families")
    ids = {case.id for case in cases}
    states = {cell: state for cell, state in whole.states.items() if cell[1] in ids}
    few = (find("padding/axes-swapped"), find("dx/weight-not-transposed"))
    survivors = {str(survivor) for survivor in seen(KillMatrix(few, cases, states)).survivors}
    family = Family(2, "unequal", 1, "position", True)
    assert f"padding/axes-swapped: forward killed by no case of the family {family}" in survivors
    assert f"dx/weight-not-transposed: transpose killed by no case of the family {family}" in survivors
