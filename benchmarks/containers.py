"""DeepFace's weights through every container: `python benchmarks/containers.py [--share 1.0]`.

Each conversion runs in a process of its own. Prints its seconds, of the clock and of the processor, and the largest
resident memory, of readers in processes of their own too, as a share of the file's size. Exit status 1 where a share is
over 2.2 or the clock over 60 s. `--share` makes the layers behind the locally connected ones smaller, for a quick look.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import lcl_ref as lcl

ROOM, SECONDS = 2.2, 60.0
LAYERS = {"L4": (63, 9, 1), "L5": (55, 7, 2), "L6": (25, 5, 1)}
"""Layer -> input size, kernel and stride; 16 channels in and out."""

CHILD = """
import json, os, resource, sys, time
from pathlib import Path
from lcl_ref.bench.child import resident
from lcl_ref.files import convert_file
start = time.perf_counter()
spec = Path(sys.argv[4]) if sys.argv[4] else None
convert_file(Path(sys.argv[1]), Path(sys.argv[2]), source="stored", target=sys.argv[3], spec=spec)
seconds = time.perf_counter() - start
own, children = (resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps([seconds, sum(os.times()[:4]), (resident("VmHWM") or own) + children]))
"""

TENSORFLOW = """
import os, sys
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
import h5py
import tensorflow as tf
folder, whole = sys.argv[1:]
holder = tf.Module()
holder.held = []
with h5py.File(whole) as file:
    weights = file["model_weights"]
    for layer in weights:
        for name, dataset in weights[layer][layer].items():
            holder.held.append(tf.Variable(dataset[()], name=f"{layer}/{name.removesuffix(':0')}"))
tf.saved_model.save(holder, f"{folder}/saved_model")
tf.train.Checkpoint(model=holder).write(f"{folder}/checkpoint/w")
"""
"""Writes the variables alone: of a model of this size Keras takes minutes to trace the positions one by one."""


def main() -> int:
    """Write the files, convert each, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--share", type=float, default=1.0)
    worst = True
    with tempfile.TemporaryDirectory(prefix="lcl-") as name:
        folder = Path(name)
        arrays = weights(parser.parse_args().share)
        print(f"{sum(array.nbytes for array in arrays.values()) / 1e6:.0f} MB of weights")
        print(f"{'conversion':34}{'clock s':>9}{'processor s':>13}{'peak / size':>13}")
        for old, new, layout, spec in conversions(folder, arrays):
            told = subprocess.run(
                [sys.executable, "-c", CHILD, old, new, layout, spec], stdout=subprocess.PIPE, check=True
            )
            clock, processor, peak = json.loads(told.stdout)
            share = peak / max(size(old), size(new))
            print(f"{f'{old.name} -> {new.name}':34}{clock:9.1f}{processor:13.1f}{share:13.2f}", flush=True)
            worst = worst and share <= ROOM and clock <= SECONDS
    return int(not worst)


def size(path: Path) -> int:
    """Return the bytes of a file or of all files in a folder."""
    return sum(one.stat().st_size for one in (path.rglob("*") if path.is_dir() else [path]))


def conversions(folder: Path, arrays: dict[str, Any]) -> Iterator[tuple[Path, Path, str, str]]:
    """Yield old file, new file, layout and specification: every container is written from another, and read."""
    whole, canonical = folder / "old.h5", "canonical"
    first, last = "keras2/impl1/channels_last", "keras2/impl3/channels_last"
    write_h5(whole, arrays, "model_weights/{0}/{0}/{1}:0", model())
    for target, layout in (("new.safetensors", canonical), ("new.npz", canonical), ("new.pt", "torch/unfold")):
        yield whole, folder / target, layout, ""
        yield folder / target, folder / "back.safetensors", canonical, ""
        (folder / target).unlink()
    yield whole, folder / "again.h5", last, ""
    yield folder / "again.h5", folder / "new.safetensors", canonical, ""
    (folder / "again.h5").unlink()
    subprocess.run([sys.executable, "-c", TENSORFLOW, folder, whole], capture_output=True, check=True)
    whole.unlink()
    (folder / "model.json").write_text(json.dumps(model()))
    for name in ("saved_model", "checkpoint"):
        yield folder / name, folder / "new.safetensors", canonical, str(folder / "model.json")
        shutil.rmtree(folder / name)
    write_archive(folder / "old.keras", arrays)
    yield folder / "old.keras", folder / "new.safetensors", canonical, ""
    yield folder / "old.keras", folder / "new.keras", last, ""
    yield folder / "old.keras", folder / "new.h5", first, ""
    for name in ("old.keras", "new.keras", "new.h5"):
        (folder / name).unlink()
    write_tfjs(folder / "web", arrays)
    yield folder / "web", folder / "new.safetensors", canonical, ""


def weights(share: float) -> dict[str, Any]:
    """Return kernels and biases, by ``layer/kernel``."""
    draw, arrays = np.random.default_rng(0), {}
    for name, (side, kernel, stride) in LAYERS.items():
        spec = lcl.Spec(input_size=(side, side), in_channels=16, out_channels=16, kernel_size=kernel, stride=stride)
        shape = lcl.layouts.weight_shape("keras2/impl1/channels_last", spec)
        arrays[f"{name}/kernel"] = draw.standard_normal(shape, np.float32)
        arrays[f"{name}/bias"] = draw.standard_normal(spec.bias_shape, np.float32)
    arrays["F7/kernel"] = draw.standard_normal((7056, int(4096 * share)), np.float32)
    return arrays


def model() -> dict[str, Any]:
    """Return the configuration of the network behind L4's input."""
    layers: list[Any] = [
        {"class_name": "InputLayer", "config": {"name": "in", "batch_input_shape": [None, 63, 63, 16]}}
    ]
    for name, (_, kernel, stride) in LAYERS.items():
        config = {"name": name, "filters": 16, "kernel_size": [kernel, kernel], "strides": [stride, stride]}
        layers.append({"class_name": "LocallyConnected2D", "config": config})
    layers.append({"class_name": "Flatten", "config": {"name": "flat"}})
    layers.append({"class_name": "Dense", "config": {"name": "F7", "units": 4096, "use_bias": False}})
    return {"class_name": "Sequential", "config": {"name": "deepface", "layers": layers}}


def write_h5(path: Path, arrays: dict[str, Any], place: str, config: Any = None) -> None:
    """Write arrays at their places, and a configuration."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[place.format(*name.split("/"))] = array
        if config:
            file.attrs["model_config"] = json.dumps(config)


def write_archive(path: Path, arrays: dict[str, Any]) -> None:
    """Write a ``.keras`` file."""
    places = {"L4": "locally_connected2d", "L5": "locally_connected2d_1", "L6": "locally_connected2d_2", "F7": "dense"}
    numbered = {f"{places[name[:2]]}/{int(name.endswith('bias'))}": array for name, array in arrays.items()}
    inner = path.with_name("model.weights.h5")
    write_h5(inner, numbered, "layers/{}/vars/{}")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(model()))
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.write(inner, inner.name)
    inner.unlink()


def write_tfjs(folder: Path, arrays: dict[str, Any]) -> None:
    """Write a layers model of TensorFlow.js, in one shard."""
    folder.mkdir()
    entries = [{"name": name, "shape": list(array.shape), "dtype": "float32"} for name, array in arrays.items()]
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": model()}
    document = {
        "format": "layers-model",
        "modelTopology": topology,
        "weightsManifest": [{"paths": ["shard.bin"], "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(document))
    with (folder / "shard.bin").open("wb") as shard:
        for array in arrays.values():
            array.tofile(shard)


if __name__ == "__main__":
    sys.exit(main())
