"""What is fuzzed: formats with good files, who reads each, and how he refuses a bad one."""

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from lcl_ref.errors import LclError
from lcl_ref.files import specs
from lcl_ref.outside.documents import parsed
from lcl_ref.suite.exec import wire
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.judge.outcome import outcome
from lcl_ref.suite.report import merge
from lcl_ref.suite.report.checking import missing_cells
from lcl_ref.suite.report.document import document, sealed
from lcl_ref.suite.report.pages.report import page
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.channel import Garbled, messages
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.settings import BackendReport
from tests.files import test_damaged as files

FORMS = {"y": ((2, 3), "float32")}
MARK = b"abcd "
CFG = Path(__file__).with_name("local.cfg").read_bytes()


@dataclass(frozen=True)
class Reader:
    """A kind of file: good ones with what lies beside them, who reads one, and how he refuses a bad one."""

    samples: list[tuple[bytes, tuple[str, bytes] | None]]
    read: Callable[[Path], object]
    refused: type[Exception] | tuple[type[Exception], ...] = LclError
    warm: Callable[[], object] = bool


def _report():
    store, ref = Store(default_root()), BackendRef("numpy.matmul", "registered", "numpy.matmul")
    ids = ["0d/linear/no-bias", "0d/linear/position-bias"]
    cells = make_plan([ref], store, ids, ["float32"])[ref]
    asked = {"tier": "full", "cases": ids, "dtypes": ["float32"], "ops": [], "ladder": False}
    rows = [outcome(cell, "pass", error_ratio=0.0, seconds=0.01) for cell in cells]
    return json.dumps(document([BackendReport(ref.name, "present", "numpy", "2")], rows, store, {}, asked)).encode()


def _merged():
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("a.json", "b.json")]
        for number, path in enumerate(paths):
            value = json.loads(_report())
            value["machine"]["system"] += str(number)
            path.write_text(json.dumps(sealed(value)))
        return json.dumps(merge.merge(paths)).encode()


def _read_report(path):
    """Read a report, say what is missing, and make its page."""
    read = merge.read(path)
    missing_cells(read, Store(default_root()))
    return page(read)


def _tensor(path):
    """Decode a tensor of the protocol, which the schema of the answer around it has been held against."""
    value = parsed(path.read_bytes())
    shape = value.get("shape") if isinstance(value, dict) else None
    fits = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not fits or value.get("dtype") not in wire.NAMES.values() or not isinstance(value.get("data"), str):
        raise Malformed("not of the schema")
    return wire.decode("y", value)


def _weights(suffix):
    data, beside = files.GOOD[suffix]
    name = f"m.{suffix.rpartition('.')[2]}.spec.json"
    return data, (name, json.dumps(beside).encode()) if beside is not None else None


WEIGHTS = {
    "h5": [_weights(".h5"), _weights("plain.h5")],
    "keras": [_weights(".keras")],
    "npz": [_weights(".npz")],
    "safetensors": [_weights(".safetensors")],
    "weights": [_weights(".weights"), (files.DARKNET, ("m.cfg", CFG))],
}
"""Suffix -> good files of weights, with the description beside each."""


def _whole(path):
    from lcl_ref.files import open_weights

    with open_weights(path) as file:
        return {name: tensor.read() for name, tensor in file.tensors.items()}


READERS = {name: Reader(samples, _whole) for name, samples in WEIGHTS.items()}
READERS |= {
    "spec.json": Reader([(files.SPEC.to_json().encode(), None), (_weights(".npz")[1][1], None)], specs.read),
    "report.json": Reader([(_report(), None), (_merged(), None)], _read_report),
    "results": Reader(
        [(safetensors.numpy.save({"y": np.ones((2, 3), np.float32)}), None)],
        lambda path: wire.check_forms(wire.read_file(path, FORMS), FORMS),
        Malformed,
    ),
    "tensor.json": Reader(
        [(json.dumps(wire.encode(np.ones((2, 3), np.float32))).encode(), None)], _tensor, (Malformed, ValueError)
    ),
    "messages": Reader(
        [(MARK + b'{"event": "loaded", "bytes": 0, "framework": "", "version": "", "accumulation": {}}\n', None)],
        lambda path: list(messages(io.BytesIO(path.read_bytes()), MARK)),
        Garbled,
    ),
}
