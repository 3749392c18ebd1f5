"""SavedModels and TensorFlow Lite files: TensorFlow computes what the reference does, bit for bit on whole numbers."""

import sys

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file
from tests.files.test_onnx import SPECS, written
from tests.support.paths import SUPPORT
from tests.support.programs import python


@pytest.mark.slow
def test_layers_of_every_kind_are_what_the_reference_computes(tmp_path):
    done = python(SUPPORT / "tensorflow_exports.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "done"


@pytest.mark.parametrize("name", ["saved_model", "new.saved_model", "new.tflite"])
def test_without_tensorflow_it_is_named_and_nothing_is_left_behind(tmp_path, monkeypatch, name):
    written(tmp_path, {"line": SPECS["line"]}, np.float32)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(lcl.FileError, match=r"no module tensorflow.*lcl-ref\[keras\].*\.onnx"):
        convert_file(tmp_path / "old.npz", tmp_path / name, source="stored", target="canonical")
    assert sorted(tmp_path.iterdir()) == before


def test_what_does_not_fit_is_refused(tmp_path):
    written(tmp_path, {"stripes": SPECS["stripes"]}, np.float32)
    with pytest.raises(lcl.FileError, match=r"shared axes that follow each other.*onnx"):
        convert_file(tmp_path / "old.npz", tmp_path / "x.tflite", source="stored", target="canonical")
    written(tmp_path, {"line": SPECS["line"]}, np.float32)
    with pytest.raises(lcl.FileError, match="--to canonical in a saved_model"):
        convert_file(tmp_path / "old.npz", tmp_path / "x.saved_model", source="stored", target="flax/conv_local")
    (tmp_path / "saved_model").mkdir()
    with pytest.raises(lcl.FileError, match="a folder, expected a file, or none yet"):
        convert_file(tmp_path / "old.npz", tmp_path / "saved_model", source="stored", target="canonical")
