"""A corpus of weight files, by every writer and dialect there is, and what each door makes of each file.

``corpus.py FOLDER`` writes the files into FOLDER, opens every one by every door, and prints a row for each as JSON;
``corpus.py FOLDER quick`` does so with the files that need no TensorFlow, and not by the door that does.
"""

import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}

import h5py
import keras_dialects
import numpy as np
import tensorflow_files

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights, specs
from lcl_ref.files.contents import LocalLayer

LINE = lcl.Spec(input_size=9, in_channels=2, out_channels=5, kernel_size=3)
IMAGE = lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=(3, 2))


def stored(spec, layout):
    """Return weight and bias of small whole numbers in a layout."""
    held = (np.random.default_rng(n).integers(-3, 4, shape).astype(np.float32) for n, shape in enumerate(shapes(spec)))
    return lcl.layouts.convert(spec, *held, source="canonical", target=layout)


def shapes(spec):
    """Return the canonical shapes of weight and bias."""
    return spec.weight_shape, spec.bias_shape


def described(path, spec, layout, weight, bias):
    """Write the description that stands beside a file of arrays."""
    layer = LocalLayer("local", "", spec, layout, weight, bias)
    specs.beside(path).write_text(specs.document(path.name, [layer], (), ()))


def models_of_keras_2(keras2):
    """Return models by name, with what layers may be inside of, and may have beside."""
    layers = keras2.layers
    inner = layers.LocallyConnected2D(3, (3, 2))
    first = {"data_format": "channels_first"}
    start = layers.Input((9, 3), name="start")
    end = layers.LocallyConnected1D(4, 3, name="local")(start)
    made = {
        "time distributed": [layers.Input((2, 6, 5, 2)), layers.TimeDistributed(inner, name="td")],
        "implementation 2": [layers.Input((6, 5, 2)), layers.LocallyConnected2D(3, 2, implementation=2)],
        "implementation 3": [
            layers.Input((2, 6, 5)),
            layers.LocallyConnected2D(3, 2, padding="same", implementation=3, **first),
        ],
        "mixed": [layers.Input((9, 3)), layers.LocallyConnected1D(4, 2, dtype="mixed_float16")],
        "constrained": [
            layers.Input((9, 3)),
            layers.LocallyConnected1D(4, 2, kernel_constraint="max_norm", kernel_regularizer="l2", use_bias=False),
        ],
        "lambda": [layers.Input((9, 3)), layers.Lambda(lambda x: x * 2), layers.LocallyConnected1D(4, 2)],
    }
    named = keras2.Model({"start": start}, {"end": end})
    return {name: keras2.Sequential(parts) for name, parts in made.items()} | {"named ends": named}


def of_keras_2(folder):
    """Write what tf_keras saves beside plain models, and edit what older versions saved otherwise."""
    import tf_keras

    models = models_of_keras_2(tf_keras)
    for name, model in models.items():
        held = [keras_dialects.numbers(n, *array.shape) for n, array in enumerate(model.get_weights())]
        model.set_weights(held)
        x = keras_dialects.numbers(9, 2, *model.input_shape[1:] if isinstance(model.input_shape, tuple) else (9, 3))
        y = model({"start": x})["end"] if name == "named ends" else model(x)
        np.savez(folder / f"{name}.npz", x=x, y=np.asarray(y))
        model.save(folder / f"{name}, tf_keras.h5")
        model.save(folder / f"{name}, tf_keras.keras")
    again = folder / "constrained, arrays renamed.h5"
    shutil.copy(folder / "constrained, tf_keras.h5", again)
    with h5py.File(again, "r+") as file:
        (layer,) = (name for name in file["model_weights"] if name.startswith("locally"))
        group = file["model_weights"][layer]
        group.move(layer, f"{layer}_1")
        group.attrs["weight_names"] = [f"{layer}_1/kernel:0".encode()]
    with zipfile.ZipFile(folder / "constrained, tf_keras.keras") as archive:
        archive.extractall(folder / "constrained, unpacked")
    model = models["constrained"]
    model.save_weights(folder / "constrained, alone.weights.h5")
    (folder / "constrained, alone.weights.json").write_text(model.to_json())
    tensorflow_files.write_tfjs(folder / "constrained, tfjs", model)


def of_keras_3(folder):
    """Write what Keras 3 saves with the drop-in layers."""
    import keras

    from lcl_ref.layers.keras import LocallyConnected2D

    model = keras.Sequential([keras.Input((6, 5, 2)), LocallyConnected2D(3, (3, 2), name="local")])
    model.set_weights([keras_dialects.numbers(n, *array.shape) for n, array in enumerate(model.get_weights())])
    x = keras_dialects.numbers(9, 2, 6, 5, 2)
    np.savez(folder / "today.npz", x=x, y=np.asarray(model(x)))
    for suffix in (".h5", ".keras"):
        model.save(folder / f"today, keras 3{suffix}")


def of_torch(folder):
    """Write what PyTorch saves of the forum's layer."""
    import torch

    held = dict(zip(("local.weight", "local.bias"), map(torch.from_numpy, stored(IMAGE, "torch/ptrblck")), strict=True))
    ways = {
        "state_dict.pt": (held, {}),
        "before 1.6.pth": (held, {"_use_new_zipfile_serialization": False}),
        "checkpoint.ckpt": ({"epoch": 1, "state_dict": held, "optimizer": {"lr": 0.1}}, {}),
        "protocol 4.bin": (held, {"pickle_protocol": 4}),
        "whole module.pt": (torch.nn.Conv2d(2, 3, 2), {}),
    }
    for name, (value, options) in ways.items():
        torch.save(value, folder / f"torch, {name}", **options)
        described(folder / f"torch, {name}", IMAGE, "torch/ptrblck", "local.weight", "local.bias")


def of_others(folder):
    """Write named arrays, in layouts of several projects, and numbers of darknet."""
    import safetensors.numpy

    for spec, layout in ((IMAGE, "flax/conv_local"), (IMAGE, "lasagne"), (LINE, "o ci k co"), (LINE, "mhcflurry")):
        held = dict(zip(("local.weight", "local.bias"), stored(spec, layout), strict=True))
        word = layout.replace("/", "-")
        np.savez(folder / f"arrays, {word}.npz", **held)
        safetensors.numpy.save_file(held, folder / f"arrays, {word}.safetensors")
        for suffix in (".npz", ".safetensors"):
            described(folder / f"arrays, {word}{suffix}", spec, layout, "local.weight", "local.bias")
    weight, bias = stored(IMAGE, "darknet")
    data = np.concatenate([bias.ravel(), weight.ravel()]).astype("<f4").tobytes()
    (folder / "network, darknet.weights").write_bytes(np.array([0, 2, 0, 0, 0], "<i4").tobytes() + data)
    described(folder / "network, darknet.weights", IMAGE, "darknet", "local/weights", "local/biases")


def packed(path, *names):
    """Write an archive with these members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"data")


def unread(folder):
    """Write what people point at and nobody can read as weights."""
    contents = {
        "empty.h5": b"",
        "pointer.h5": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "page.h5": b"<!DOCTYPE html><html></html>",
        "objects.pkl": pickle.dumps({"weight": [1.0]}),
        "forest.joblib": pickle.dumps([1], protocol=3),
        "graph.onnx": b"\x08\x09\x12\x07pytorch",
        "compiled.tflite": b"\x1c\0\0\0TFL3",
        "matlab.mat": b"MATLAB 5.0 MAT-file",
        "frozen.pb": b"\n\x05const",
        "flax.msgpack": b"\x81\xa1a",
        "caffe.caffemodel": b"\n\x05layer",
        "list.safetensors.index.json": b'{"weight_map": {}}',
        "cut.h5": b"\x89HDF\r\n\x1a\n\0\0\0",
        "cut.npz": b"PK\x03\x04\0\0",
        "packed.tar.gz": b"\x1f\x8b\x08",
    }
    for name, data in contents.items():
        (folder / f"unread, {name}").write_bytes(data)
    packed(folder / "unread, exported.pt2", "x/archive_format", "x/models/model.json")
    packed(folder / "unread, script.pt", "m/data.pkl", "m/constants.pkl", "m/code/a.py")
    packed(folder / "unread, folder.zip", "saved/saved_model.pb")
    for name, inside in (("shards", "model-00001-of-00002.safetensors"), ("orbax", "_METADATA"), ("folder", "a.txt")):
        (folder / f"unread, {name}").mkdir()
        (folder / f"unread, {name}" / inside).write_bytes(b"{}")


def written(folder):
    """Write everything, and return the files with what stands beside each."""
    keras_dialects.write(folder)
    tensorflow_files.write(folder / "tensorflow")
    for write in (of_keras_2, of_keras_3, of_torch, of_others, unread):
        write(folder)
    graph = folder / "tensorflow" / "graph"
    shutil.copytree(folder / "tensorflow" / "tfjs", graph)
    document = json.loads((graph / "model.json").read_text())
    (graph / "model.json").write_text(json.dumps(document | {"format": "graph-model"}))
    truths = {path.stem for path in folder.glob("*.npz") if "," not in path.name}
    kinds = (".spec.json", "weights.json", "beside.json")
    files = [path for path in folder.iterdir() if path.stem not in truths and not path.name.endswith(kinds)]
    files.remove(folder / "tensorflow")
    return sorted(files) + sorted((folder / "tensorflow").iterdir())


def beside(path):
    """Return the architecture of a model that stands beside its weights."""
    if path.name == "checkpoint":
        return path.with_name("model.json")
    found = path.with_suffix(".json")
    return found if path.name.endswith((".weights.h5", "beside.h5")) else None


class Doors:
    """What each door makes of a file; a refusal is its rule, and its words are checked to be words."""

    def __init__(self, folder, names):
        self.folder, self.names = folder, names
        self.truths = {path.stem: np.load(path) for path in folder.glob("*.npz") if "," not in path.name}

    def row(self, path):
        """Return the results of one file by door."""
        new = self.folder / "new.safetensors"
        new.unlink(missing_ok=True)
        doors = {
            "inspect": lambda: self.inspect(path),
            "convert": lambda: self.convert(path, new),
            "verify-port": lambda: self.verify(path, new),
            "load_model": lambda: self.load(path),
        }
        found = {name: self.ask(doors[name]) for name in self.names}
        return {"file": path.relative_to(self.folder).as_posix()} | found

    def ask(self, door):
        """Return what a door says: a refusal by the rule it names, and nothing where it does not say what to do."""
        try:
            return door()
        except lcl.LclError as error:
            return "" if not (error.todo or error.rule == "file/damaged") else f"refused: {error.rule}"
        except ValueError as error:  # of Keras 3, or of `load_model` itself
            return "refused in words" if str(error) else ""

    def inspect(self, path):
        """Count the layers."""
        with open_weights(path, beside(path)) as file:
            assert file.layers, path
            return f"{len(file.layers)} layer" + "s" * (len(file.layers) > 1)

    def convert(self, path, new):
        """Convert into canonical weights."""
        report = convert_file(path, new, source="stored", target="canonical", spec=beside(path))
        return f"{len(report.layers)} converted"

    def verify(self, path, new):
        """Hold the converted file against the old one."""
        from lcl_ref.suite.port_check.verify import verify_port

        if not new.exists():
            with open_weights(path):  # refused as every other door refuses it
                return "nothing to compare"
        findings = verify_port(path, new, spec=beside(path))
        assert all(finding.state != "fail" for finding in findings), findings
        sides = {finding.side for finding in findings if finding.op and finding.state == "pass"}
        return "holds, old layer live" if any(side.startswith("old") for side in sides) else "holds"

    def load(self, path):
        """Load it in Keras 3 and compare the answers."""
        from lcl_ref.layers.keras import load_model

        model = load_model(path, architecture=beside(path))
        truth = self.truths.get(path.name.split(",")[0]) or self.of_tensorflow()
        y = model({"start": truth["x"]} if path.name.startswith("named") else truth["x"])
        y = np.asarray(y["end"] if isinstance(y, dict) else y)
        allowed = 64 * np.finfo(y.dtype).eps if path.name.startswith("sequence") or path.parent != self.folder else 0
        close = np.abs(y - truth["y"]).max() <= allowed
        return (
            "same answers"
            if close
            else "answers of fewer bits"
            if "float" in path.name or "uint" in path.name
            else "other answers"
        )

    def of_tensorflow(self):
        """Return input and answer of the model in the containers of TensorFlow."""
        if "tensorflow" not in self.truths:
            import tf_keras

            model = tf_keras.models.load_model(self.folder / "tensorflow" / "model.h5")
            x = np.random.default_rng(1).random((3, 6, 5, 2)).astype(np.float32)
            self.truths["tensorflow"] = {"x": x, "y": np.asarray(model(x))}
        return self.truths["tensorflow"]


def main(folder, quick=""):
    """Write the files, open the doors, print the rows."""
    if quick:
        for write in (of_torch, of_others, unread):
            write(folder)
        files = sorted(path for path in folder.iterdir() if not path.name.endswith(".spec.json"))
    else:
        (folder / "tensorflow").mkdir()
        files = written(folder)
    doors = Doors(folder, ("inspect", "convert", "verify-port", *([] if quick else ["load_model"])))
    sys.stdout.write(json.dumps([doors.row(path) for path in files]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
