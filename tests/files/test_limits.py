"""Files whose parts are modest and whose whole is not: refused within seconds and little memory, with what to do."""

import io
import json
import os
import re
import resource
import struct
import zipfile

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.convert import inspect
from lcl_ref.files import convert_file, limits, open_weights
from lcl_ref.outside import scratch
from tests.support.marks import quick
from tests.support.programs import python

SPEC = lcl.Spec(input_size=7, in_channels=2, out_channels=3, kernel_size=2, stride=2, bias="none")
WEIGHT = np.arange(np.prod(SPEC.weight_shape), dtype=np.float32).reshape(SPEC.weight_shape)


def diamonds(path):
    """Groups joined by two hard links each: more paths than can be walked."""
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        for _ in range(40):
            new = file.create_group("new")
            group["left"] = group["right"] = new
            del file["new"]
            group = new


def one_dataset_at_many_places(path):
    """A dataset that is well packed, linked so often that it is larger than any model."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.zeros(1 << 22, np.float32), compression=1, chunks=(1 << 16,))
        for number in range(300):
            file[f"link{number}"] = file["x"]


def one_text_many_times(path):
    """An attribute of texts that all stand at the place of one long one."""
    count, size = 1500, 1 << 20
    with h5py.File(path, "w") as file:
        file.attrs.create("big", ["x" * size] + ["y" * 7] * (count - 1), dtype=h5py.string_dtype())
    data = bytearray(path.read_bytes())
    starts = (match.start() for match in re.finditer(re.escape(struct.pack("<I", size)), data))
    first = next(start for start in starts if data[start + 16 : start + 20] == struct.pack("<I", 7))
    for number in range(1, count):
        data[first + 16 * number : first + 16 * number + 16] = data[first : first + 16]
    path.write_bytes(data)


def wide_chunks(path):
    """Chunks of which one fills the memory."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1 << 28,), np.float32, compression=1, chunks=(1 << 28,))


def many_arrays_of_zeros(path):
    """Arrays that are each small enough to grow as they like."""
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(5_000_000, np.float32))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number in range(4):
            archive.writestr(f"a{number}.npy", zeros.getvalue())


def long_header(path):
    """A header that says it is long."""
    path.write_bytes(struct.pack("<Q", 1 << 30) + b"{" + b" " * 100)


def long_table(path):
    """An archive whose last record says that its table of contents is long."""
    np.savez(path, x=np.zeros(3))
    data = bytearray(path.read_bytes())
    data[-10:-6] = struct.pack("<I", 1 << 30)
    path.write_bytes(data)


def long_name(path):
    """A name that fills a page."""
    np.savez(path, **{"x" * 5000: np.zeros(3)})


def many_lists(path):
    """A description of a model that is made of empty lists."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"a": [' + ",".join(["[[[]]]"] * 400_000) + "]}")
        archive.writestr("model.weights.h5", b"")


CRAFTED = {
    diamonds: ("m.h5", "groups at one place each"),
    one_dataset_at_many_places: ("m.h5", "301 arrays"),
    one_text_many_times: ("m.h5", "memory|allocat"),
    wide_chunks: ("m.h5", "0 bytes stored|chunks that fit"),
    many_arrays_of_zeros: ("m.npz", "4 arrays of 80000000 bytes together, expected at most 200 times"),
    long_header: ("m.safetensors", "a header of 1073741824 bytes"),
    long_table: ("m.npz", "a table of contents of 1073741824 bytes"),
    many_lists: ("m.keras", "values, at most"),
    long_name: ("m.npz", "at most 1000 characters"),
}


OPENS = """
import resource, sys
from pathlib import Path
from lcl_ref import FileError
from lcl_ref.bench.child import resident
from lcl_ref.files import open_weights
try:
    with open_weights(Path(sys.argv[1])):
        pass
except FileError as error:
    everyone = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    own, of_children = (resource.getrusage(who).ru_maxrss << 10 for who in everyone)
    print(max(resident("VmHWM") or own, of_children))  # on Linux `own` begins with that of whoever started the process
    print(error)
"""
"""Opens a file in a process of its own, whose memory and whose children's is then known."""


@pytest.mark.parametrize("make", quick(CRAFTED, every=2), ids=lambda make: make.__name__)
def test_a_crafted_file_is_refused(make, tmp_path):
    name, words = CRAFTED[make]
    make(tmp_path / name)
    done = python("-c", OPENS, name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    peak, message = done.stdout.split("\n", 1)
    assert re.search(words, message)
    assert int(peak) < 1 << 30


MERGED = "".join(f"b{n}: &b{n} {{<<: [{', '.join(['*a' if n == 0 else f'*b{n - 1}'] * 9)}]}}\n" for n in range(9))
ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]\n" for n in range(12))
DESCRIPTIONS = {
    "a pipe.json": ("m.npz", os.mkfifo, "no regular file"),
    "a pipe.cfg": ("m.weights", os.mkfifo, "no regular file"),
    "long.cfg": ("m.weights", lambda path: path.touch() or os.truncate(path, 1 << 32), "at most 16777216 bytes"),
    "merged.yaml": ("m.npz", lambda path: path.write_text(f"a: &a {{x: 1}}\n{MERGED}"), "of plain data"),
    "aliases.yaml": ("m.npz", lambda path: path.write_text(ALIASES), "lists inside each other"),
}
"""Description -> the file it is of, how to make it, and why it is refused."""


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_without_end_is_refused(name, tmp_path):
    model, make, words = DESCRIPTIONS[name]
    np.savez(tmp_path / "m.npz", x=np.zeros(3))
    np.zeros(10, np.float32).tofile(tmp_path / "m.weights")
    make(tmp_path / name)
    with pytest.raises(lcl.LclError, match=words), open_weights(tmp_path / model, tmp_path / name):
        pass


def test_limits_can_be_raised(tmp_path):
    many_arrays_of_zeros(tmp_path / "m.npz")
    with limits.raised(10), open_weights(tmp_path / "m.npz") as file:
        assert len(file.tensors) == 4
    assert CliRunner().invoke(inspect, [str(tmp_path / "m.npz"), "--limits", "10"]).exit_code == 0
    assert "--limits 10" in str(CliRunner().invoke(inspect, [str(tmp_path / "m.npz")]).exception)


def test_two_arrays_that_could_be_the_weight_are_both_named(tmp_path):
    np.savez(tmp_path / "m.npz", **{"fc.weight": WEIGHT, "fc.kernel": 2 * WEIGHT, "other": WEIGHT})
    (tmp_path / "s.json").write_text(SPEC.to_json())
    with pytest.raises(lcl.FileError, match=r"fc\.weight and fc\.kernel of layer fc"):
        convert_file(
            tmp_path / "m.npz", tmp_path / "n.npz", source="canonical", target="torch/bmm", spec=tmp_path / "s.json"
        )


def keras_file(path, names, *kernels):
    """Write a Keras model of one layer whose group says which of its arrays are weights."""
    settings = {
        "name": "local",
        "filters": 3,
        "kernel_size": [2],
        "strides": [2],
        "padding": "valid",
        "use_bias": False,
    }
    settings |= {"data_format": "channels_last", "implementation": 1}
    settings["batch_input_shape"] = [None, 7, 2]
    layers = [{"class_name": "LocallyConnected1D", "config": settings}]
    kernel, _ = lcl.layouts.convert(SPEC, WEIGHT, None, source="canonical", target="keras2/impl1/channels_last")
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
        group = file.create_group("model_weights/local")
        for number, name in enumerate(kernels):
            group[name] = kernel * (number + 1)
        if names is not None:
            group.attrs["weight_names"] = [name.encode() for name in names]
    return kernel


def test_the_group_of_a_keras_layer_says_which_array_is_its_kernel(tmp_path):
    both = ("old/local/kernel:0", "local/kernel:0")
    kernel = keras_file(tmp_path / "m.h5", ["local/kernel:0"], *both)
    with open_weights(tmp_path / "m.h5") as file:
        (layer,) = file.layers
        assert layer.weight == "local/local/kernel:0"
        assert np.array_equal(file.tensors[layer.weight].read(), 2 * kernel)
    for names in (None, list(both)):
        keras_file(tmp_path / "m.h5", names, *both)
        with (
            pytest.raises(lcl.FileError, match=r"each of which could be the kernel of layer local"),
            open_weights(tmp_path / "m.h5"),
        ):
            pass


def test_a_full_temporary_folder_is_no_damaged_file():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(lcl.FileError, match="room for temporary files"), scratch.folder() as folder, scratch.room():
            (folder / "x").write_bytes(b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
