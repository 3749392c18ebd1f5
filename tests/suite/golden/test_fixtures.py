"""Golden data on disk: what verify, check and write do, on a copy of the real set."""

import json
import shutil

import pytest

from lcl_ref.errors import FixtureError
from lcl_ref.extensions import borders
from lcl_ref.suite.cases.catalogue import CASES, EXTENSION_CASES, REFUSALS
from lcl_ref.suite.golden import extensions, fixtures, regenerate, results, store
from lcl_ref.suite.run.cells import make_plan


@pytest.fixture
def data(tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(fixtures.default_root(), copy)
    return copy


def flip(path, place):
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)


def test_the_set_in_the_tree_holds_every_case_and_is_small():
    verified = fixtures.verify(fixtures.default_root())
    assert set(verified.entries) == {case.id for case in CASES}
    assert [entry["id"] for entry in verified.index["refused"]] == [refusal.id for refusal in REFUSALS]
    assert list(verified.extensions) == [case.id for case in EXTENSION_CASES]
    assert sum(path.stat().st_size for path in verified.root.iterdir()) < 16e6


def test_a_byte_in_any_file_is_seen_and_the_file_named(data):
    for path in sorted(data.iterdir()):
        whole = path.read_bytes()
        flip(path, len(whole) // 2)
        with pytest.raises(FixtureError) as caught:
            fixtures.verify(data)
        assert path.name in str(caught.value)
        path.write_bytes(whole)
    fixtures.verify(data)


def test_the_array_a_changed_byte_belongs_to_is_named(data):
    arrays = {
        "2d-stride.safetensors": ("2d/stride/uneven-floor/weight", "2d/stride/two-even/y"),
        "extensions.safetensors": ("extension/borders/reflect/dx", "extension/adaptive/odd-window/radius"),
    }
    for file, names in arrays.items():
        path = data / file
        header = int.from_bytes(path.read_bytes()[:8], "little")
        tensors = json.loads(path.read_bytes()[8 : 8 + header])
        for name in names:
            whole = path.read_bytes()
            flip(path, 8 + header + tensors[name]["data_offsets"][0])
            with pytest.raises(FixtureError) as caught:
                fixtures.verify(data)
            assert caught.value.what == f"{file}, array {name}"
            path.write_bytes(whole)


def test_a_missing_file_and_one_too_many_are_named(data):
    (data / "0d-linear.safetensors").unlink()
    with pytest.raises(FixtureError, match=r"0d-linear\.safetensors"):
        fixtures.verify(data)
    shutil.copy(data / "0d-groups.safetensors", data / "0d-linear.safetensors")
    (data / "stray.txt").write_text("x")
    with pytest.raises(FixtureError) as caught:
        fixtures.verify(data)
    assert {problem.what.split(",")[0] for problem in caught.value.violations} == {"stray.txt", "0d-linear.safetensors"}


@pytest.mark.parametrize("text", ["", "nonsense\n", '{"format": "lcl-fixtures/2"}', "[]"])
def test_an_index_that_is_none_is_refused(data, text):
    (data / "index.json").write_text(text)
    with pytest.raises(FixtureError, match=r"index\.json"):
        _ = store.Store(data).index


ENTRIES = {
    "nothing": lambda index: index["cases"].__setitem__(0, None),
    "no list": lambda index: index.update(cases=3),
    "no layer": lambda index: index["cases"][0].pop("spec"),
    "a batch in words": lambda index: index["generated"][0].update(batch="two"),
    "a file elsewhere": lambda index: index["cases"][0].update(file="../../etc/passwd"),
    "no arrays of an extension": lambda index: index["extensions"][0].pop("arrays"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_that_is_none_is_refused_though_every_checksum_holds(data, name):
    index = json.loads((data / store.INDEX).read_text())
    ENTRIES[name](index)
    (data / store.INDEX).write_text(json.dumps(index))
    (data / store.SUMS).write_bytes(
        store.sums({path.name: path.read_bytes() for path in data.iterdir() if path.name != store.SUMS})
    )
    with pytest.raises(FixtureError, match=r"index\.json, \w+\[\d+\]: got"):
        fixtures.verify(data)


def test_write_leaves_the_bytes_that_are_in_the_tree_for_a_part_of_the_cases(data, monkeypatch):
    some = [case for case in CASES if case.id.startswith("0d/")]
    monkeypatch.setattr(fixtures, "build", lambda: regenerate.build(some))
    fixtures.write(data)
    fixtures.verify(data)
    for path in data.glob("*.safetensors"):
        assert path.read_bytes() == (fixtures.default_root() / path.name).read_bytes()
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_failed_write_leaves_the_old_data(data, monkeypatch):
    before = {path.name: path.read_bytes() for path in data.iterdir()}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fixtures, "build", lambda: {"index.json": b"{}"})
    monkeypatch.setattr(fixtures, "sums", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fixtures.write(data)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_check_fails_when_a_formula_changes(data, monkeypatch):
    some = [case for case in CASES if case.id.startswith("0d/linear")]
    monkeypatch.setattr(fixtures, "build", lambda: regenerate.build(some))
    fixtures.write(data)
    assert fixtures.check(data) == len(list(data.iterdir()))
    honest = results.agreed
    monkeypatch.setattr(results, "agreed", lambda *given: honest(*given) | {"y": honest(*given)["y"] + 1})
    with pytest.raises(FixtureError, match=r"0d-linear\.safetensors, array 0d/linear/.*/y"):
        fixtures.check(data)


def test_golden_data_needs_two_oracles_that_agree(monkeypatch):
    case = next(case for case in CASES if case.values == "exact")
    honest = results.dense_oracle.forward
    monkeypatch.setattr(results.dense_oracle, "forward", lambda *given: honest(*given) * 2)
    with pytest.raises(FixtureError, match=rf"{case.id}/y: got dense oracle"):
        results.compute(case)


def test_extensions_need_two_routes_that_agree(monkeypatch):
    case = next(case for case in EXTENSION_CASES if case.kind == "borders")
    honest = borders.forward
    monkeypatch.setattr(borders, "forward", lambda *given: honest(*given) + 1)
    with pytest.raises(FixtureError, match=rf"{case.id}/y: got the formula of the clause"):
        extensions.compute(case)


def test_a_case_without_golden_data_is_named_with_what_to_do(tmp_path):
    (tmp_path / store.INDEX).write_text(json.dumps({"format": store.FORMAT, "cases": []}))
    empty = store.Store(tmp_path)
    for ask in (lambda: empty.arrays("1d/padding/int"), lambda: make_plan([], empty, ["1d/padding/int"])):
        with pytest.raises(FixtureError, match=r"1d/padding/int: got no data in .* `lcl fixtures write`"):
            ask()
