"""Files of PyTorch: read as data, by no code of theirs, and written so that torch reads them."""

import io
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights

SPEC = lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=(3, 2), stride=(2, 1))
WEIGHT = np.arange(np.prod(SPEC.weight_shape), dtype=np.float32).reshape(SPEC.weight_shape)
BIAS = np.arange(np.prod(SPEC.bias_shape), dtype=np.float32).reshape(SPEC.bias_shape)
PTRBLCK = lcl.layouts.convert(SPEC, WEIGHT, BIAS, source="canonical", target="torch/ptrblck")


class Net(torch.nn.Module):
    """A network whose layer has the arrays of the forum's."""

    def __init__(self):
        super().__init__()
        self.local = torch.nn.Module()
        self.local.weight, self.local.bias = (torch.nn.Parameter(torch.from_numpy(array)) for array in PTRBLCK)
        self.norm = torch.nn.BatchNorm2d(3)


STATE = Net().state_dict()
WAYS = {
    "zip": lambda path: torch.save(STATE, path),
    "legacy": lambda path: torch.save(STATE, path, _use_new_zipfile_serialization=False),
    "protocol 4": lambda path: torch.save(STATE, path, pickle_protocol=4),
    "plain dict of parameters": lambda path: torch.save(dict(Net().named_parameters()), path),
    "checkpoint": lambda path: torch.save(
        {"epoch": 3, "state_dict": STATE, "args": Path("data"), "optimizer": {"state": {0: {"exp": torch.ones(2)}}}},
        path,
    ),
}
"""Ways to save the network's weights."""


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(SPEC.to_json())
    return path


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_save_weights_is_read_and_converted(tmp_path, spec_file, way):
    old, new = tmp_path / "old.bin", tmp_path / "new.safetensors"
    WAYS[way](old)
    given = {"source": "torch/ptrblck", "target": "canonical", "spec": spec_file, "layer": "local"}
    report = convert_file(old, new, **given)
    with open_weights(new) as file:
        (layer,) = file.layers
        assert np.array_equal(file.tensors[layer.weight].read(), WEIGHT)
        assert np.array_equal(file.tensors[layer.bias].read(), BIAS)
        assert ("norm.running_var" in file.tensors) == (way != "plain dict of parameters")
    assert report.left == (("epoch", "args", "optimizer") if way == "checkpoint" else ())


def test_views_types_and_shapes_are_those_of_torch(tmp_path):
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    held = {
        "transposed": base.T,
        "part": base[1:3, 2:],
        "expanded": torch.ones(1).expand(3, 2),
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 2),
        "half": base.half(),
        "wide": base.to(torch.complex128),
        "brain": base.bfloat16(),
        "eighth": base.to(torch.float8_e4m3fn),
        "unsigned": torch.tensor([1, 2], dtype=torch.uint16),
        "flags": base > 3,
    }
    for number, new in enumerate((True, False)):
        path = tmp_path / f"{number}.pt"
        torch.save(held, path, _use_new_zipfile_serialization=new)
        with open_weights(path) as file:
            assert list(file.tensors) == list(held)
            for name, tensor in held.items():
                got = file.tensors[name].read()
                assert got.shape == tuple(tensor.shape)
                assert np.array_equal(got.astype(np.complex128), tensor.to(torch.complex128).numpy()), name


def test_torch_reads_what_is_written_and_no_code_is_needed_for_it(tmp_path, spec_file):
    for name in ("a.pt", "b.pt"):
        torch.save(STATE, tmp_path / "old.pt")
        given = {"source": "torch/ptrblck", "target": "torch/ptrblck", "spec": spec_file, "layer": "local"}
        convert_file(tmp_path / "old.pt", tmp_path / name, **given)
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(state) == list(STATE)
    assert all(torch.equal(state[name], STATE[name]) and state[name].dtype == STATE[name].dtype for name in state)
    Net().load_state_dict(state)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


class Evil:
    """What does harm when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_nothing_in_a_file_is_run(tmp_path):
    harm = tmp_path / "harm"
    for number, value in enumerate((Evil(harm), {"weight": torch.ones(2), "extra": Evil(harm)}, [Evil(harm)])):
        path = tmp_path / f"{number}.pt"
        torch.save(value, path)
        if isinstance(value, dict):
            with open_weights(path) as file:
                assert list(file.tensors) == ["weight"]
        else:
            with pytest.raises(lcl.FileError, match=r"torch\.save"), open_weights(path):
                pass
        assert not harm.exists()


def program(path):
    """Write the members that a TorchScript archive has beside those of a state_dict."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"):
            archive.writestr(name, b"")


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (
            lambda path: torch.save(Net(), path),
            r"class .*Net.*torch.load\(\"m.pt\", weights_only=False\).state_dict\(\)",
        ),
        (
            lambda path: torch.save({"model": Net(), "epoch": 1}, path),
            r"weights_only=False\)\['model'\].state_dict\(\)",
        ),
        (lambda path: torch.save({"epoch": 1}, path), "no tensors, expected a state_dict"),
        (program, r"TorchScript.*torch.jit.load\('m.pt'"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_the_way_to_save_one(tmp_path, save, message):
    save(tmp_path / "m.pt")
    with pytest.raises(lcl.FileError, match=message), open_weights(tmp_path / "m.pt"):
        pass


def test_a_quantised_tensor_is_named_as_left_out(tmp_path):
    memory = io.BytesIO()
    torch.save({"b": torch.ones(2), "w": torch.nn.Parameter(torch.ones(3))}, memory)
    with zipfile.ZipFile(memory) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    zipped(tmp_path / "m.pt", text.replace(b"_rebuild_parameter", b"_rebuild_qtensor"))
    with open_weights(tmp_path / "m.pt") as file:
        assert list(file.tensors) == ["b"]
        assert file.left == ("w (torch._utils._rebuild_qtensor)",)


def zipped(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(8))


def test_damaged_and_hostile_pickles_are_refused(tmp_path):
    good = io.BytesIO()
    torch.save({"w": torch.ones(2)}, good)
    with zipfile.ZipFile(good) as archive:
        main = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        text = archive.read(main)
    larger = text.replace(b"K\x02\x85", b"K\x04\x85", 1)
    assert larger != text
    shared = pickle.dumps([value := {}, *(value := {"a": value, "b": value} for _ in range(60))], protocol=2)
    files = {
        "cut": text[:40],
        "empty": b"",
        "beyond its storage": larger,
        "opcode": b"\x80\x02}]\x90.",
        "persistent id": b"\x80\x02K\x01Q.",
        "memo": b"\x80\x02r\xff\xff\xff\xff.",
        "names shared by many": shared,
        "stack": b"\x80\x02u.",
        "deep": b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    }
    assert list(pickletools.genops(shared))
    for name, data in files.items():
        zipped(tmp_path / "x.pt", data)
        with pytest.raises(lcl.FileError, match=r"x\.pt: got"), open_weights(tmp_path / "x.pt"):
            pytest.fail(name)
