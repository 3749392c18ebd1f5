"""Whatever a person may point at is refused with what it is and the next step; what it is stands in its content."""

import io
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import open_weights, recognising


def zipped(*names):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in names:
            archive.writestr(name, b"data")
    return memory.getvalue()


def tarred():
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.h5"))
    return memory.getvalue()


def array():
    memory = io.BytesIO()
    np.save(memory, np.ones(3))
    return memory.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123\n"
FILES = {
    "model.h5": [(b"", "empty file"), (LFS, "git lfs pull"), (b"\n<!DOCTYPE html><html>", "web page.*raw or download")],
    "model.pt": [(LFS, "git lfs pull"), (zipped("archive_format", "models/model.json"), "torch.export.load")],
    "weights.npz": [(b"<html>", "web page"), (array(), "one array without a name")],
    "model.safetensors": [(LFS, "git lfs pull"), (b"\x1f\x8b\x08", "gunzip")],
    "m.pkl": [(pickle.dumps({"a": 1}), "pickle, which runs code"), (b"(dp0\n.", "pickle")],
    "m.joblib": [(pickle.dumps([1], protocol=3), r"pickle.*numpy\.savez"), (b"\x78\x9c", "joblib.load")],
    "m.onnx": [(b"\x08\x09\x12\x07pytorch", "ONNX")],
    "m.tflite": [(b"\x1c\0\0\0TFL3", "TensorFlow Lite")],
    "m.bin": [(b"\x1c\0\0\0TFL3", "TensorFlow Lite"), (b"\0" * 64, r"shard.*model\.json")],
    "m.mat": [(b"MATLAB 5.0 MAT-file", "scipy.io.loadmat"), (b"MATLAB 7.3 MAT-file" + b" " * 512, "-v7")],
    "m.zip": [
        (zipped("model/saved_model.pb"), "unzip 'm.zip'"),
        (zipped("w/a.h5"), "unzip"),
        (zipped("coefficients.bin"), "DL4J|Deepl"),
    ],
    "m.tar": [(tarred(), "tar -xf 'm.tar'")],
    "m.tar.gz": [(b"\x1f\x8b\x08", "tar -xzf")],
    "m.pb": [(b"\n\x05hello", "a graph of TensorFlow")],
    "saved_model.pb": [(b"\x08\x01\x12", "name the folder it stands in")],
    "m.caffemodel": [(b"\n\x05hello", "--from caffe")],
    "m.t7": [(b"\x04\0\0\0", "torchfile")],
    "m.pt2": [(zipped("a/b"), r"torch\.export\.load\('m\.pt2'\)")],
    "m.mlmodel": [(b"\x08\x01", "Core ML")],
    "m.msgpack": [(b"\x81", "msgpack_restore")],
    "m.gguf": [(b"GGUF\x03", "gguf.GGUFReader")],
    "m.pdparams": [(b"\x80\x04.", "paddle.load|pickle")],
    "m.json": [(b'{"class_name": "Model", "config": {}}', "named with --spec")],
    "m.yaml": [(b"class_name: Model", "--spec")],
    "m.cfg": [(b"[net]", "--spec")],
    "model.safetensors.index.json": [(b'{"weight_map": {}}', r"shards.*safetensors\.numpy\.load_file")],
    "m.csv": [(b"1,2,3", "numpy.loadtxt")],
    "m.py": [(b"import torch", "a program")],
    "m.xyz": [(b"nothing known", r"suffix '\.xyz', expected one of \.h5")],
}
"""Name -> contents under that name, and words of the refusal."""

CASES = [(name, data, words) for name, contents in FILES.items() for data, words in contents]


@pytest.mark.parametrize(("name", "data", "words"), CASES)
def test_a_file_of_another_kind_is_named_with_the_next_step(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(lcl.FileError) as caught, open_weights(tmp_path / name):
        pass
    assert re.search(words, str(caught.value)), str(caught.value)
    assert caught.value.todo or name == "m.xyz"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["notes.txt"], "name one weight file in it"),
        ([], "a folder that is no SavedModel"),
        (["model-00001-of-00002.safetensors", "model.safetensors.index.json"], "join them"),
        (["pytorch_model-00001-of-00002.bin"], "join them"),
        (["_METADATA", "manifest.ocdbt"], "Orbax"),
    ],
)
def test_a_folder_of_another_kind_is_named_with_the_next_step(tmp_path, files, words):
    for name in files:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(lcl.FileError, match=words), open_weights(tmp_path):
        pass


def test_what_is_there_decides_and_not_the_name(tmp_path):
    np.savez(tmp_path / "a.npz", weight=np.ones(3))
    (tmp_path / "a.npz").rename(tmp_path / "model.dat")
    with open_weights(tmp_path / "model.dat") as file:
        assert (file.form, list(file.tensors)) == ("NumPy archive", ["weight"])


def test_every_entry_says_what_to_do():
    entries = recognising.unread()
    assert len(entries) > 40
    assert all(
        facts["what"].split()[0] in ("a", "an", "one", "weights", "parameters", "numbers", "the")
        for facts in entries.values()
    )
    assert all(facts["todo"] for facts in entries.values())
