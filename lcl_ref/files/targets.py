"""The files that `convert_file` writes, by the suffix of their name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.darknet import weights as darknet
from lcl_ref.files.export import onnx, tensorflow
from lcl_ref.files.keras import whole, writing
from lcl_ref.files.keras.writing import Produce
from lcl_ref.files.torch import writing as torch
from lcl_ref.files.untrusted import problem
from lcl_ref.files.writing import Planned, checked, write_npz, write_safetensors

SUFFIXES = (".h5", ".hdf5", ".keras", ".safetensors", ".npz", ".weights", ".pt", ".pth", ".onnx", *tensorflow.DTYPES)
"""A folder that is called ``saved_model`` counts as one that ends so."""


def write(path: Path, target: Path, old: WeightFile, plan: list[Planned], layers: Sequence[LocalLayer]) -> list[str]:
    """Write the planned arrays in the format of `target` and return what it has no place for.

    Parameters
    ----------
    path, target : Path
        Where it is written, and how it will be called.
    old : WeightFile
        The file that is converted.
    plan : list of Planned
        All arrays.
    layers : sequence of LocalLayer
        The converted layers, as they are now.
    """
    by_name = {array.name: array for array in plan}

    def produce(name: str) -> Array:
        return checked(by_name[name])

    if target.suffix == ".safetensors":
        write_safetensors(path, plan)
    elif target.suffix == ".npz":
        write_npz(path, plan)
    elif target.suffix in (".pt", ".pth"):
        torch.write(path, target, plan)
    elif target.suffix == ".onnx":
        written = onnx.write(path, target, layers, produce)
        return [name for name in by_name if name not in written]
    elif (kind := _suffix(target)) in tensorflow.DTYPES:
        written = tensorflow.write(path, target, layers, produce, kind)
        return [name for name in by_name if name not in written]
    elif target.suffix == ".weights":
        return _write_darknet(path, target, old, layers, produce)
    elif target.suffix == ".keras" or (target.suffix in (".h5", ".hdf5") and old.config is not None):
        _write_keras(path, target, old, layers, produce)
    elif target.suffix in (".h5", ".hdf5"):
        writing.write_arrays(path, list(by_name), produce)
    else:
        raise problem(target, "format", f"suffix {target.suffix!r}", f"one of {', '.join(SUFFIXES)}")
    return []


def _suffix(target: Path) -> str:
    return target.suffix or f".{target.name}"


def new_names(target: Path, old: WeightFile, layers: Sequence[LocalLayer]) -> dict[str, str]:
    """Return arrays that get other names: those that TensorFlow takes, or by which Keras 2 finds weights alone."""
    if _suffix(target) in tensorflow.DTYPES:
        return tensorflow.names(layers)
    if target.suffix not in (".h5", ".hdf5") or old.config is not None:
        return {}
    names: dict[str, str] = {}
    for layer in layers:
        if layer.layout.startswith(("keras1/", "keras2/", "neurite/")) and "/" not in layer.weight:
            own = layer.name.replace("/", "_")
            names |= {layer.weight: f"{own}/{own}/kernel:0"} | (
                {layer.bias: f"{own}/{own}/bias:0"} if layer.bias else {}
            )
    return names


def _write_keras(path: Path, target: Path, old: WeightFile, layers: Sequence[LocalLayer], produce: Produce) -> None:
    """Write a Keras model with its layers converted; what is around the layers stays as it is."""
    archive = target.suffix == ".keras"
    if old.config is None or (archive and old.form != "Keras archive"):
        todo = f"write a .safetensors, .npz or {'.h5' if old.config else '.pt'} file instead"
        expected = "a .keras file, to copy the model around the layers from"
        raise problem(target, "format", f"layers from {old.path.name}", expected, todo)
    for layer in old.layers:
        for new in layers:
            if new.name == layer.name:
                writing.check_fits(layer, new.layout)
    converted = {layer.name: layer.layout for layer in layers}
    if archive:
        writing.write_zip(path, old, converted, produce)
    elif old.form == "Keras HDF5 model":
        writing.write_h5(path, old, converted, produce)
    else:
        whole.write(path, target, old, converted, produce)


def _write_darknet(
    path: Path, target: Path, old: WeightFile, layers: Sequence[LocalLayer], produce: Produce
) -> list[str]:
    """Write the layers, biases first, behind a header; with those of a darknet network, all its other arrays."""
    if len(layers) < len(old.layers) or any(layer.layout != "darknet" for layer in layers):
        raise problem(target, "format", "layers in another layout", "all layers with --to darknet in a .weights file")
    if old.path.suffix == ".weights":
        darknet.write(path, map(produce, old.tensors), darknet.header(old.path))
        return []
    names = [name for layer in layers for name in (layer.bias, layer.weight) if name]
    wide = [name for name in names if old.tensors[name].dtype.newbyteorder("<") != darknet.FLOAT]
    if wide or any(not layer.bias for layer in layers):
        got = f"arrays of another dtype: {', '.join(wide)}" if wide else "a layer without a bias"
        raise problem(target, "format", got, "float32 and biases in a .weights file")
    darknet.write(path, map(produce, names))
    return [name for name in old.tensors if name not in names]
