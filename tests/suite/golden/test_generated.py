"""Arrays that are made, not stored: the digests and projections of the index hold, and notice what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lcl_ref.core import batched, reference
from lcl_ref.errors import FixtureError
from lcl_ref.suite.cases.catalogue import CASES, select
from lcl_ref.suite.golden import by_taps, generated, regenerate, results, values
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store, sha256

STORE = Store(default_root())
FEW = ["0d/sizes/batch-33", "1d/sizes/channels-16-to-65", "2d/sizes/window-x-6-6-4-5", "3d/sizes/groups-16"]
EXACT = [case for case in CASES if case.values == "exact" and not case.generated]


def test_every_case_of_sizes_is_in_the_index_without_arrays() -> None:
    listed = {entry["id"] for entry in STORE.index["generated"]}
    assert listed == {case.id for case in CASES if case.generated}
    assert not any("file" in entry for entry in STORE.index["generated"])


@pytest.mark.parametrize("case_id", FEW)
def test_what_is_made_has_the_dtypes_digests_and_projections_of_the_index(case_id: str) -> None:
    entry, made = STORE.entries[case_id], STORE.arrays(case_id)
    assert {name: str(array.dtype) for name, array in made.items()} == {
        name: facts["dtype"] for name, facts in entry["arrays"].items()
    }
    for name, checks in entry["checks"].items():
        assert generated.projections(case_id, name, made[name]) == checks


@pytest.mark.parametrize("case_id", FEW)
def test_the_entry_regenerates(case_id: str) -> None:
    (case,) = select([case_id])
    assert json.loads(json.dumps(regenerate._generated(case, results.compute(case)))) == STORE.entries[case_id]


def test_one_wrong_element_changes_every_projection() -> None:
    stream = np.random.Generator(np.random.Philox(3))
    right = STORE.arrays(FEW[1])["y"].astype(np.int64)
    for _ in range(50):
        wrong = right.copy()
        wrong.reshape(-1)[stream.integers(right.size)] += stream.choice([-2, -1, 1, 2, 1000])
        pairs = zip(*(generated.projections(FEW[1], "y", array) for array in (right, wrong)), strict=True)
        assert all(one != other for one, other in pairs)


def test_projections_are_sums_modulo_the_prime() -> None:
    array = np.array([[5, -3], [0, 2**29]])
    drawn = values.raw("a/b/c", "y/2", (4,)).tolist()
    want = sum(number % generated.PRIME * int(v) for number, v in zip(drawn, array.ravel(), strict=True))
    assert generated.projections("a/b/c", "y", array)[2] == want % generated.PRIME


def test_another_digest_is_an_error_that_names_the_array() -> None:
    entry = json.loads(json.dumps(STORE.entries[FEW[0]]))
    entry["arrays"]["dw"]["sha256"] = sha256(b"")
    with pytest.raises(FixtureError, match=r"0d/sizes/batch-33, array dw: got another SHA-256"):
        generated.arrays(entry, sha256)


def test_weights_are_thinned_as_asked_and_nothing_else_is() -> None:
    case_id = "1d/sizes/channels-16-to-65"
    entry, made = STORE.entries[case_id], STORE.arrays(case_id)
    kept = (values.raw(case_id, "weight", made["weight"].shape) >> np.uint64(32)) % np.uint64(entry["one_in"]) == 0
    assert np.array_equal(made["weight"] != 0, kept)
    assert made["x"].all()
    assert made["dy"].all()
    assert made["bias"].all()


def test_the_route_by_taps_is_the_reference() -> None:
    for case in EXACT[::7]:
        operands = results.exact_operands(case)
        ours, others = (results.results(route, case.spec, operands) for route in (by_taps, reference))
        assert all(np.array_equal(ours[name], others[name]) for name in others), case.id


def test_products_in_float64_are_those_of_integers() -> None:
    (case,) = select(["2d/sizes/kernel-square-9"])
    operands = results.drawn(case, STORE.entries[case.id]["amplitude"])
    ours, others = results.by_products(case, operands), results.results(batched, case.spec, operands)
    assert all(np.array_equal(ours[name], others[name]) for name in others)
