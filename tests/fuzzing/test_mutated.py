"""Every reader on mutated and crafted files: an answer or one error of ours, soon, and what is read is right.

``make fuzz`` tries ten thousand of each format. Inputs that once did harm lie in ``corpus/``, and are always tried.
"""

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from lcl_ref.files import limits
from tests.fuzzing.mass import child
from tests.fuzzing.mass.__main__ import Kind, row, tried
from tests.fuzzing.readers import READERS

CORPUS = Path(__file__).with_name("corpus")


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_reader_answers_or_refuses_whatever_it_is_given(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)  # what is found is kept there
    assert tried(Kind(name, crafted=False, seed=0), 150) == 0
    assert tried(Kind(name, crafted=True, seed=0), 30) == 0


@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, where another test of this process loaded it
def test_what_must_not_be_is_seen(tmp_path):
    path, beside = tmp_path / "m.npz", tmp_path / "m.npz.spec.json"
    data, (_, text) = READERS["npz"].samples[0]
    path.write_bytes(data)
    beside.write_bytes(text)
    assert child.check_weights(path, beside)
    with np.load(path) as archive, pytest.raises(child.Found, match="another reader finds"):
        child.compare(path, {name: array + 1 for name, array in archive.items()}, child.theirs_of(path))
    results = list(row(Kind("no such format", crafted=False, seed=0), 0, 1, tmp_path))
    assert "KeyError" in results[0][1][-1]


@pytest.mark.parametrize("sample", sorted(CORPUS.iterdir()), ids=lambda sample: sample.name)
def test_what_once_did_harm_does_none(sample, tmp_path):
    reader = next(READERS[name] for name in READERS if sample.name.endswith(name))
    path = tmp_path / f"m.{sample.name.partition('.')[2]}"
    path.write_bytes(sample.read_bytes())
    began = time.process_time()
    with limits.raised(0.2), contextlib.suppress(reader.refused), np.errstate(all="ignore"):
        reader.read(path)
    assert time.process_time() - began < child.SECONDS
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
