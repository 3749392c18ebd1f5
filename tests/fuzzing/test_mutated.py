"""Every reader on mutated files: what it says is an answer or one error of ours, soon, and what it reads is right.

``make fuzz`` gives it minutes; FUZZ_SECONDS sets how long each reader is tried. Inputs that once did harm lie in
``corpus/``, and are tried first.
"""

import contextlib
import io
import json
import os
import time
import zipfile
from pathlib import Path

import h5py
import hypothesis
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st

import lcl_ref as lcl
from lcl_ref.errors import LclError
from lcl_ref.files import open_weights, specs
from lcl_ref.outside.documents import parsed
from lcl_ref.suite.exec import wire
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.judge.outcome import Cell, outcome
from lcl_ref.suite.report import merge
from lcl_ref.suite.report.document import document
from lcl_ref.suite.run.channel import Garbled, messages
from lcl_ref.suite.run.settings import BackendReport

SECONDS = float(os.environ.get("FUZZ_SECONDS", "6"))
CORPUS = Path(__file__).with_name("corpus")
SPEC = lcl.Spec(input_size=7, in_channels=2, out_channels=3, kernel_size=2, stride=2, bias="none")
ARRAYS = {"fc.weight": np.arange(np.prod(SPEC.weight_shape), dtype=np.float32).reshape(SPEC.weight_shape)}
FORMS = {"y": ((2, 3), "float32")}
CELL = Cell("numpy.matmul", "0d/linear/no-bias", "forward", "float32")


def npz():
    """Return a small archive."""
    file = io.BytesIO()
    np.savez_compressed(file, **ARRAYS)
    return file.getvalue()


def hdf5():
    """Return a small HDF5 file."""
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        for name, array in ARRAYS.items():
            opened.create_dataset(name, data=array, compression=1)
        opened.attrs["layer_names"] = ["fc"]
    return file.getvalue()


def keras():
    """Return a small Keras archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        archive.writestr("model.weights.h5", hdf5())
    return file.getvalue()


def report():
    """Return a small report."""
    found = document([BackendReport(CELL.backend, "present")], [outcome(CELL, "pass", error_ratio=0.0)], _STORE)
    return json.dumps(found).encode()


_STORE = Store(default_root())
MARK = b"abcd "


def weights(path):
    """Open a weight file and read all of it; what another reader of the format makes of it must be the same."""
    with open_weights(path) as file:
        read = {name: tensor.read() for name, tensor in file.tensors.items()}
    with contextlib.suppress(ValueError, OSError, KeyError, zipfile.BadZipFile):  # the other may refuse more
        other = {".npz": np.load, ".safetensors": safetensors.numpy.load_file}[path.suffix](path)
        assert all(read[name].tobytes() == other[name].tobytes() for name in other)


READERS = {
    "npz": (npz(), weights, LclError),
    "safetensors": (safetensors.numpy.save(ARRAYS), weights, LclError),
    "keras": (keras(), weights, LclError),
    "h5": (hdf5(), weights, LclError),
    "spec.json": (SPEC.to_json().encode(), specs.read, LclError),
    "report.json": (report(), merge.read, LclError),
    "results": (
        safetensors.numpy.save({"y": np.ones((2, 3), np.float32)}),
        lambda path: wire.check_forms(wire.read_file(path, FORMS), FORMS),
        Malformed,
    ),
    "tensor.json": (
        json.dumps(wire.encode(np.ones((2, 3), np.float32))).encode(),
        lambda path: wire.decode("y", _tensor(path)),
        (Malformed, ValueError),
    ),
    "messages": (
        MARK + b'{"event": "loaded", "bytes": 0, "framework": "", "version": "", "accumulation": {}}\n',
        lambda path: list(messages(io.BytesIO(path.read_bytes()), MARK)),
        Garbled,
    ),
}
"""What is read -> a good one, who reads it, and how he refuses a bad one."""


def _tensor(path):
    """Return a tensor of the protocol, which the schema of the answer around it has been held against."""
    value = parsed(path.read_bytes())
    shape = value.get("shape") if isinstance(value, dict) else None
    fits = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not fits or value.get("dtype") not in wire.NAMES.values() or not isinstance(value.get("data"), str):
        raise Malformed("not of the schema")
    return value


ODD = [b"\0", b"\xff" * 8, b"\x80", b"-1", b"NaN", b"1e999", b"[" * 3000, b'"\\ud800"', b"{}", b""]


def mutated(data):
    """Return a strategy: bytes flipped, numbers put in, pieces cut out, doubled, or moved from elsewhere in it."""
    place = st.integers(0, len(data))
    moved = st.tuples(place, st.integers(0, 40))
    edit = st.tuples(place, st.integers(0, 12), st.one_of(st.sampled_from(ODD), st.binary(max_size=9), moved))

    def applied(edits):
        text = data
        for start, length, new in edits:
            piece = data[new[0] : new[0] + new[1]] if isinstance(new, tuple) else new
            text = text[:start] + piece + text[start + length :]
        return text

    return st.lists(edit, min_size=1, max_size=4).map(applied)


def tried(reader, refused, path, data):
    """Give a reader some bytes: it answers or refuses them within 10 seconds, and leaves no file behind."""
    path.write_bytes(data)
    began = time.monotonic()
    with contextlib.suppress(refused), np.errstate(all="ignore"):
        reader(path)
    assert time.monotonic() - began < 10
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_reader_answers_or_refuses_whatever_it_is_given(name, tmp_path):
    good, reader, refused = READERS[name]
    path = tmp_path / f"m.{name}"
    path.write_bytes(good)
    reader(path)
    settings = hypothesis.settings(
        max_examples=10, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    deadline, seed = time.monotonic() + SECONDS, 0
    while time.monotonic() < deadline:
        seed += 1

        @hypothesis.seed(seed)
        @settings
        @hypothesis.given(mutated(good))
        def attempt(data):
            tried(reader, refused, path, data)

        attempt()


@pytest.mark.parametrize("sample", sorted(CORPUS.iterdir()), ids=lambda sample: sample.name)
def test_what_once_did_harm_does_none(sample, tmp_path):
    name = next(name for name in READERS if sample.name.endswith(name))
    _, reader, refused = READERS[name]
    tried(reader, refused, tmp_path / f"m.{name}", sample.read_bytes())
