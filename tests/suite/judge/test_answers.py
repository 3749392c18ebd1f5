"""Answers kept in a file come back as they were, whatever became of the process that wrote them."""

from functools import partial

import ml_dtypes
import numpy as np
import pytest

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import answers
from lcl_ref.suite.judge.answers import AnswerFile
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.tasks import load_task

STORE = Store(default_root())
EXACT, ROUNDED = "1d/stride/two-even", "0d/rounded/few-terms"


def observations():
    """Return an answer that is right, and others that are not, by what has to be kept of them."""
    exact, rounded = load_task(STORE, EXACT, "float32"), load_task(STORE, ROUNDED, "float64")
    golden = {name: exact.golden[name].astype(np.float32) for name in ("dx", "dw", "db") if name in exact.golden}
    return [
        Observation(EXACT, "vjp", exact, "pass", golden),
        Observation(EXACT, "forward", exact, "fail", {"y": np.arange(6.0).reshape(2, 3).T}),
        Observation(ROUNDED, "forward", rounded, "pass", {"y": rounded.golden["y"] * 1.25}),
        Observation(ROUNDED, "transpose", rounded, "error", {"dx": np.ones((), ml_dtypes.bfloat16)}, "got bfloat16"),
        Observation(ROUNDED, "vjp", rounded, "error", {}, "ValueError: no\u00e9"),
    ]


def key(seen):
    return seen.case, seen.op, seen.task.dtype


@pytest.fixture
def kept(tmp_path):
    """Return a path where some observations are kept."""
    for seen in observations():
        AnswerFile(tmp_path / "kept").add(seen)
    return tmp_path / "kept"


def read(path):
    wanted = {key(seen) for seen in observations()}
    return AnswerFile(path).read(wanted, partial(load_task, STORE))


def test_what_is_kept_comes_back(kept):
    found = read(kept)
    assert list(found) == [key(seen) for seen in observations()]
    for seen in observations():
        again = found[key(seen)]
        assert (again.verdict, again.message, list(again.answers)) == (seen.verdict, seen.message, list(seen.answers))
        for name, array in seen.answers.items():
            np.testing.assert_array_equal(again.answers[name].astype(np.float64), array.astype(np.float64))
            assert again.answers[name].shape == array.shape


def test_a_right_exact_answer_takes_no_room(kept):
    assert b'"arrays": []' in kept.read_bytes().splitlines()[0]


def test_only_what_is_wanted_is_read(kept):
    (seen,) = AnswerFile(kept).read({(EXACT, "forward", "float32")}, partial(load_task, STORE)).values()
    assert (seen.op, seen.verdict) == ("forward", "fail")


def test_a_record_that_is_cut_off_is_none(kept, tmp_path):
    whole, counts = kept.read_bytes(), []
    for length in range(0, len(whole) + 1, 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        counts.append(len(read(tmp_path / "cut")))
    assert counts == sorted(counts)
    assert set(counts) >= {0, 1, 2, 3, 4}


def test_a_file_has_a_largest_size(kept, monkeypatch):
    before = kept.read_bytes()
    monkeypatch.setattr(answers, "MOST_BYTES", len(before))
    AnswerFile(kept).add(observations()[1])
    assert kept.read_bytes() == before


def test_without_a_file_nothing_is_known(tmp_path):
    assert read(tmp_path / "none") == {}
