"""SavedModel folders and TensorFlow Lite files: a signature per layer, written by TensorFlow itself.

A SavedModel keeps the canonical arrays as its variables; a TensorFlow Lite file has them in the order of its products.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lcl_ref.files.contents import LocalLayer
from lcl_ref.files.export import graph
from lcl_ref.files.keras.writing import Produce
from lcl_ref.files.untrusted import problem
from lcl_ref.outside import scratch

SAVED_MODEL, LITE = ".saved_model", ".tflite"
"""Ends of names; a folder may be called ``saved_model`` alone, too."""

DTYPES = {SAVED_MODEL: ("float16", "bfloat16", "float32", "float64"), LITE: ("float32",)}

SERVING = "serving_default"
"""Signature of the layer of a file of one; of several each has the name of its layer."""


def names(layers: Sequence[LocalLayer]) -> dict[str, str]:
    """Return the names of arrays as TensorFlow takes them: ``local/kernel`` and ``local/bias``."""
    own = [re.sub(r"^[^A-Za-z0-9]|[^A-Za-z0-9_/]", "_", layer.name).strip("_/") for layer in layers]
    if len(set(own)) < len(own) or not all(own):
        own = [f"layer_{number}" for number in range(len(layers))]
    found = {layer.weight: f"{name}/kernel" for layer, name in zip(layers, own, strict=True)}
    return found | {layer.bias: f"{name}/bias" for layer, name in zip(layers, own, strict=True) if layer.bias}


def write(path: Path, target: Path, layers: Sequence[LocalLayer], produce: Produce, kind: str) -> list[str]:
    """Write the layers, whose arrays are canonical, and return the names of the arrays in it.

    Parameters
    ----------
    path, target : Path
        Where it is written, and how it will be called.
    layers : sequence of LocalLayer
        Each takes ``x`` and gives ``y``, with any batch.
    produce : callable
        Name of an array -> the array.
    kind : str
        `SAVED_MODEL` or `LITE`.

    Raises
    ------
    FileError
        If TensorFlow is not installed, or a layer does not fit.
    """
    for layer in layers:
        _check(target, layer, kind)
    try:
        import tensorflow as tf  # noqa: PLC0415  an extra
    except ImportError as error:
        todo = "install lcl-ref[keras], or write an .onnx file"
        raise problem(target, "library", "no module tensorflow", f"it, to write a {kind[1:]}", todo) from error
    holder = tf.Module()
    keys = [layer.name for layer in layers] if len(layers) > 1 else [SERVING]
    made = (_signature(tf, holder, target, layer, produce, kind) for layer in layers)
    signatures = dict(zip(keys, made, strict=True))
    if kind == SAVED_MODEL:
        path.unlink()
        tf.saved_model.save(holder, str(path), signatures)
    else:
        with scratch.folder() as folder, scratch.room():
            tf.saved_model.save(holder, str(folder / "model"), signatures)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "model"), signature_keys=keys)
            path.write_bytes(converter.convert())
    return [name for layer in layers for name in (layer.weight, layer.bias) if name]


def _check(target: Path, layer: LocalLayer, kind: str) -> None:
    if layer.layout != "canonical":
        raise problem(target, "format", f"layer {layer.name} in another layout", f"--to canonical in a {kind[1:]}")
    runs = [shared for shared, _ in itertools.groupby(layer.spec.shared)]
    if kind == LITE and len(runs) > 2:
        got = f"layer {layer.name} with shared={layer.spec.shared}"
        todo = "write a SavedModel or an .onnx file"
        raise problem(target, "format", got, "shared axes that follow each other: its products take 5 axes", todo)


def _signature(tf: Any, holder: Any, target: Path, layer: LocalLayer, produce: Produce, kind: str) -> Any:
    """Return the function of one layer, whose variables `holder` keeps."""
    arrays = {name: produce(name) for name in (layer.weight, layer.bias) if name}
    dtype = arrays[layer.weight].dtype
    if str(dtype) not in DTYPES[kind]:
        raise problem(target, "dtype", f"array {layer.weight!r} of dtype {dtype}", ", ".join(DTYPES[kind]))
    held = [tf.Variable(array, name=name) for name, array in arrays.items()]
    setattr(holder, f"arrays_{layer.weight}", held)

    def call(x: Any) -> Any:
        return {"y": graph.answer(_Operations(tf), layer.spec, x, *held)}

    return tf.function(call, [tf.TensorSpec([None, *layer.spec.x_shape(1)[1:]], dtype, "x")])


class _Operations:
    """`graph.Operations` of TensorFlow."""

    def __init__(self, tf: Any) -> None:
        self._tf = tf
        self.reshape, self.transpose, self.pad = tf.reshape, tf.transpose, tf.pad
        self.concatenate, self.product, self.add = tf.concat, tf.matmul, tf.add

    def gather(self, x: Any, table: Sequence[int], axis: int) -> Any:
        """Return the channels that a table names."""
        return self._tf.gather(x, table, axis=axis)

    def slices(self, x: Any, parts: Sequence[slice]) -> Any:
        """Return a part."""
        return x[(slice(None), *parts)]
