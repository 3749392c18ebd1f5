"""SavedModels and TensorFlow Lite files of layers of every kind, run by TensorFlow: ``FOLDER``."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
import tensorflow as tf

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights
from tests.files.test_onnx import SPECS, numbers, written

warnings.simplefilter("ignore")  # the interpreter has moved to a package of its own


def in_saved_model(path):
    signatures = tf.saved_model.load(str(path)).signatures
    return {name: lambda x, run=run: run(x=tf.constant(x))["y"].numpy() for name, run in signatures.items()}


def in_lite(path):
    interpreter = tf.lite.Interpreter(str(path))
    runs = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    return {name: lambda x, run=run: run(x=x)["y"] for name, run in runs.items()}


def check(folder, layers, dtype):
    folder.mkdir()
    arrays = written(folder, layers, dtype)
    for name, opened in (("saved_model", in_saved_model), ("new.tflite", in_lite)):
        if name == "new.tflite" and (dtype == np.float64 or "stripes" in layers):
            continue
        report = convert_file(folder / "old.npz", folder / name, source="stored", target="canonical")
        assert report.left == ("head",)
        found = opened(folder / name)
        for layer, spec in layers.items():
            run = found[layer if len(layers) > 1 else "serving_default"]
            for batch in (1, 3):
                x = numbers(9, spec.x_shape(batch), dtype)
                want = lcl.forward(spec, x, arrays[f"{layer}.w"], arrays.get(f"{layer}.b"))
                assert np.array_equal(run(x), want), (name, layer)
    with open_weights(folder / "saved_model") as file:
        assert [layer.spec for layer in file.layers] == list(layers.values())
        for layer, name in zip(file.layers, layers, strict=True):
            assert np.array_equal(file.tensors[layer.weight].read(), arrays[f"{name}.w"])


place = Path(sys.argv[1])
for name, spec in SPECS.items():
    check(place / name, {name: spec}, np.float64 if name == "image" else np.float32)
several = {f"inner {name}/local.1": SPECS[name] for name in ("line", "blocks", "sheets")}
check(place / "several", several, np.float32)
sys.stdout.write("done\n")
