"""TensorFlow.js layers models: ``model.json``, which holds a Keras configuration and lists arrays, and its shards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.files.contents import Array, Tensor, WeightFile
from lcl_ref.files.keras.layers import owned_arrays
from lcl_ref.files.keras.reading import Specs, layers_of
from lcl_ref.files.untrusted import check_count, check_name, check_text, parse_json, problem, reading
from lcl_ref.outside.text import shown

DTYPES = {name: np.dtype(name) for name in ("float32", "int32", "bool", "complex64", "float16")}


@dataclass(frozen=True)
class _Shards:
    """Files that are one row of bytes."""

    paths: Sequence[Path]
    sizes: Sequence[int]

    def read(self, start: int, size: int) -> bytes:
        """Return some of the bytes."""
        parts = []
        for path, length in zip(self.paths, self.sizes, strict=True):
            if start < length and size:
                with path.open("rb") as file:
                    file.seek(start)
                    parts.append(file.read(min(size, length - start)))
                size -= len(parts[-1])
            start = max(0, start - length)
        return b"".join(parts)


@dataclass(frozen=True)
class _Quantised:
    """How an array is stored in fewer bits: ``value * scale + lowest``, or as float16."""

    dtype: np.dtype[Any]
    scale: float = 1.0
    lowest: float = 0.0

    def restored(self, stored: Array, dtype: np.dtype[Any]) -> Array:
        """Return the numbers that TensorFlow.js computes with."""
        if self.dtype.kind == "f":
            return stored.astype(dtype)
        values = stored.astype(np.float64) * self.scale + self.lowest
        return (values if dtype.kind == "f" else np.round(values)).astype(dtype)


def read(path: Path, specs: Specs) -> WeightFile:
    """Open a ``model.json``, or the folder it stands in.

    Raises
    ------
    FileError
        If it is a graph model, or its shards are missing or have another length than it says.
    """
    main = path / "model.json" if path.is_dir() else path
    with reading(path, "a model.json of TensorFlow.js"):
        check_text(path, "a model.json", main.stat().st_size)
        document = parse_json(path, main.read_bytes(), "a model.json")
        model = _model(path, document)
        tensors, restored = {}, []
        for group in document["weightsManifest"]:
            for tensor, quantised in _group(path, main.parent, group):
                tensors[tensor.name] = tensor
                restored += [tensor.name] if quantised else []
            check_count(path, len(tensors))
    layers, notes = layers_of(path, model, specs, partial(owned_arrays, tensors))
    if restored:
        told = ", ".join(restored[:3]) + (f" and {len(restored) - 3} more" if len(restored) > 3 else "")
        notes += (f"{told}: stored in fewer bits; these are the numbers that TensorFlow.js computes with",)
    left = tuple(name for name in ("trainingConfig", "userDefinedMetadata") if name in document)
    return WeightFile(path, "TensorFlow.js layers model", tensors, layers, left, notes, None, model)


def _model(path: Path, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of the Keras model."""
    topology = document.get("modelTopology") or {}
    if document.get("format") == "graph-model" or "node" in topology:
        todo = "convert the .h5, .keras or SavedModel it was made of, or make a layers model of that: "
        todo += "tensorflowjs_converter --input_format=keras model.h5 folder"
        raise problem(path, "kind-tfjs-graph", "a graph model, which no longer has its layers", "a layers model", todo)
    model: Mapping[str, Any] = topology.get("model_config", topology)
    if "class_name" not in model:
        todo = "name the model's to_json with --spec beside the .h5 it was made of"
        raise problem(path, "json", "arrays without a model", "modelTopology", todo)
    return model


def _group(path: Path, folder: Path, group: Mapping[str, Any]) -> Iterator[tuple[Tensor, bool]]:
    """Yield the arrays of one group of shards, each behind the one before, and whether they are quantised."""
    shards = [folder / _plain(path, name) for name in group["paths"]]
    for name, shard in zip(group["paths"], shards, strict=True):
        if not shard.is_file():
            raise problem(path, "missing", f"no file {name}", "its shards beside it", "download all of them")
    files = _Shards(shards, [shard.stat().st_size for shard in shards])
    start = 0
    for entry in group["weights"]:
        name, shape = check_name(path, entry["name"]), tuple(entry["shape"])
        dtype, quantised = _form(path, entry)
        stored = quantised.dtype if quantised else dtype
        size = math.prod(shape) * stored.itemsize
        if any(type(n) is not int or n < 0 for n in shape) or start + size > sum(files.sizes):
            raise problem(path, "size", f"array {name!r} of {size} bytes", f"{sum(files.sizes)} bytes of its shards")
        read = partial(_read, path, name, files, start, shape, dtype, quantised)
        yield Tensor(name, shape, dtype, read), quantised is not None
        start += size
    if start != sum(files.sizes):
        todo = "download all shards again"
        raise problem(path, "size", f"shards of {sum(files.sizes)} bytes", f"{start} bytes, as listed", todo)


def _plain(path: Path, name: Any) -> str:
    """Return the name of a shard; one elsewhere than beside the model is refused."""
    if "/" in check_name(path, str(name)) or "\\" in str(name):
        raise problem(path, "name", f"a shard {shown(name, 80)!r}", "names of files beside the model.json")
    return str(name)


def _form(path: Path, entry: Mapping[str, Any]) -> tuple[np.dtype[Any], _Quantised | None]:
    quantisation = entry.get("quantization")
    name = entry.get("dtype", "float32")
    if name not in DTYPES:
        raise problem(path, "dtype", f"array {entry['name']!r} of dtype {shown(name, 40)}", ", ".join(DTYPES))
    if not quantisation:
        return DTYPES[name], None
    stored = quantisation["dtype"]
    if stored not in ("uint8", "uint16", "float16"):
        got = f"array {entry['name']!r} quantised as {shown(stored, 40)}"
        raise problem(path, "dtype", got, "uint8, uint16 or float16", "convert the model without quantisation")
    scale, lowest = float(quantisation.get("scale", 1)), float(quantisation.get("min", 0))
    return DTYPES[name], _Quantised(np.dtype(stored), scale, lowest)


def _read(
    path: Path,
    name: str,
    files: _Shards,
    start: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    quantised: _Quantised | None,
) -> Array:
    with reading(path, f"array {name!r}"):
        stored = (quantised.dtype if quantised else dtype).newbyteorder("<")
        values = np.frombuffer(files.read(start, math.prod(shape) * stored.itemsize), stored).reshape(shape)
        return quantised.restored(values, dtype) if quantised else values.astype(dtype)
