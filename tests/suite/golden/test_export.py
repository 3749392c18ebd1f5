"""`lcl export`: every container gives back what the golden data holds."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from lcl_ref.suite.golden.export import CONTAINERS, export
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tests.support.programs import lcl

STORE = Store(default_root())
CASES = ["0d/groups/two", "0d/linear/empty-batch", "1d/nonfinite/padding", "0d/rounded/one-term"]
CASES += ["extension/pruned/no-leak", "extension/quantised/ties"]
ENTRIES = STORE.entries | STORE.extensions


def from_npz(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("case"))), arrays


def from_json(path):
    entry = json.loads(path.read_text())
    arrays = {
        name: np.array(facts.pop("data"), np.float64).reshape(facts["shape"]) for name, facts in entry["arrays"].items()
    }
    return entry, arrays


def from_safetensors(path):
    with safetensors.safe_open(path, "np") as file:
        entry = json.loads(file.metadata()["case"])
    return entry, safetensors.numpy.load_file(path)


READERS = {"npz": from_npz, "json": from_json, "safetensors": from_safetensors}


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_was_written_is_read_back(container, tmp_path):
    for case_id, path in zip(CASES, export(STORE, CASES, container, tmp_path), strict=True):
        entry, arrays = READERS[container](path)
        ours = STORE.arrays(case_id)
        assert entry == ENTRIES[case_id]
        assert arrays.keys() == ours.keys()
        for name, array in ours.items():
            assert arrays[name].shape == array.shape
            got, expected = arrays[name].astype(np.float64), array.astype(np.float64)
            assert np.array_equal(got, expected, equal_nan=True), name


def test_types_are_kept_where_the_container_has_them(tmp_path):
    (path,) = export(STORE, ["0d/rounded/one-term"], "safetensors", tmp_path)
    kept = {name: str(array.dtype) for name, array in safetensors.numpy.load_file(path).items()}
    assert kept == {name: str(array.dtype) for name, array in STORE.arrays("0d/rounded/one-term").items()}
    (path,) = export(STORE, ["0d/rounded/one-term"], "npz", tmp_path)
    assert str(from_npz(path)[1]["bfloat16/x"].dtype) == "float32"


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_cases_are_the_same_bytes(container, tmp_path):
    first, second = (export(STORE, CASES, container, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_extensions_have_a_section_of_their_own(tmp_path):
    export(STORE, CASES, "json", tmp_path)
    listed = json.loads((tmp_path / "index.json").read_text())
    assert [entry["id"] for entry in listed["cases"]] == CASES[:4]
    assert [entry["id"] for entry in listed["extensions"]] == CASES[4:]


def test_the_command_writes_the_cases_of_a_glob_and_their_index(tmp_path):
    done = lcl("export", "--format", "json", "--case", "0d/groups/*", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "index.json").read_text())["cases"]
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")}
    assert files == {entry["file"] for entry in listed} | {"index.json"}
    assert {entry["id"] for entry in listed} == {case for case in STORE.entries if case.startswith("0d/groups/")}


def test_wrong_words_are_refused(tmp_path):
    for words in (["--format", "pickle"], ["--format", "npz", "--case", "9d/*"]):
        assert lcl("export", *words, "-o", tmp_path / "out").returncode == 2
    assert not (tmp_path / "out").exists()


def test_globs_of_extensions_and_of_cases_may_be_mixed(tmp_path):
    words = ("-c", "extension/quantised/*", "-c", "*/padding/mixed")
    done = lcl("export", "--format", "json", *words, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    listed = json.loads((tmp_path / "index.json").read_text())
    assert [entry["id"] for entry in listed["cases"]] == [
        case for case in STORE.entries if case.endswith("/padding/mixed")
    ]
    assert [entry["id"] for entry in listed["extensions"]] == [
        "extension/quantised/ties",
        "extension/quantised/one-scale",
    ]


@pytest.mark.parametrize(
    ("globs", "accepted", "extended"),
    [
        ([], len(STORE.entries), len(STORE.extensions)),
        (["extension/borders/*"], 0, 4),
        (["0d/groups/two"], 1, 0),
        (["*"], len(STORE.entries), len(STORE.extensions)),
    ],
)
def test_cases_of_extensions_are_listed(globs, accepted, extended):
    words = [word for glob in globs for word in ("-c", glob)]
    listed = json.loads(lcl("cases", "--json", *words, check=True).stdout)
    assert (len(listed["accepted"]), len(listed["extensions"])) == (accepted, extended)


def test_a_run_says_that_extensions_are_no_cases_of_adapters():
    done = lcl("run", "-b", "numpy.loop", "-c", "extension/*")
    assert done.returncode == 2
    assert "those of extensions (SPEC 14) are data for ports" in done.stderr
