"""SavedModel folders and checkpoints of TensorFlow: their variables, and what Keras wrote beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from lcl_ref.files.contents import Array, Tensor, WeightFile
from lcl_ref.files.keras.layers import owned_arrays
from lcl_ref.files.keras.reading import Specs, layers_of
from lcl_ref.files.tensorflow.messages import inside, text, varint
from lcl_ref.files.tensorflow.table import Stored, entries
from lcl_ref.files.untrusted import check_count, check_name, check_text, parse_json, problem, reading
from lcl_ref.outside.text import shown

DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
"""Number of TensorFlow -> dtype; others are texts and handles."""

VALUE, GRAPH = "/.ATTRIBUTES/VARIABLE_VALUE", "_CHECKPOINTABLE_OBJECT_GRAPH"
_TRAINING = ("optimizer/", "keras_api/", "save_counter", "global_step", "beta1_power", "beta2_power")
_SLOTS = ("/Adam", "/Adam_1", "/Momentum", "/RMSProp", "/RMSProp_1", "/Adagrad")
"""How keys of training state begin and end."""


def read(path: Path, kind: str, specs: Specs, beside: Mapping[str, Any] | None) -> WeightFile:
    """Open a SavedModel or a checkpoint; `beside` is the configuration of the model, from a file of its own.

    Raises
    ------
    FileError
        If it is damaged, or no one checkpoint.
    """
    with reading(path, f"a {kind} of TensorFlow"):
        prefix = path / "variables" / "variables" if kind == "saved_model" else _prefix(path)
        index = prefix.with_name(f"{prefix.name}.index")
        if not index.is_file():
            todo = "copy the whole folder, with its folder variables"
            raise problem(path, "missing", f"no file {index.name}", "the index of its variables", todo)
        stored = entries(index)
        check_count(path, len(stored))
        tensors, left = _variables(path, prefix, stored)
        model = beside or (_configuration(path) if kind == "saved_model" else None)
    form = "SavedModel" if kind == "saved_model" else "TensorFlow checkpoint"
    if model is None:
        told = "no configuration of Keras layers in it: give the model's to_json, or describe the layers, with --spec"
        return WeightFile(path, form, tensors, (), left, (told,) if kind == "saved_model" else ())
    layers, notes = layers_of(path, model, specs, partial(owned_arrays, tensors))
    return WeightFile(path, form, tensors, layers, left, notes, None, model)


def _prefix(path: Path) -> Path:
    """Return the path without what the files of a checkpoint add to it."""
    folder, name = (path, "checkpoint") if path.is_dir() else (path.parent, path.name)
    if name == "checkpoint":
        found = sorted(folder.glob("*.index"))
        listed = folder / "checkpoint"
        latest = re.match(r'model_checkpoint_path: "([^"]*)"', listed.read_text()[:4096]) if listed.is_file() else None
        if latest:  # whatever folder it names: the checkpoint stands beside it
            found = [one for one in found if one.name == f"{Path(latest[1]).name}.index"] or found
        if len(found) != 1:
            names = ", ".join(one.stem for one in found) or "none"
            raise problem(path, "checkpoint", f"{len(found)} checkpoints ({names})", "one", "name it, without .index")
        name = found[0].name
    return folder / name.removesuffix(".index").partition(".data-0")[0]


def _variables(path: Path, prefix: Path, stored: Mapping[str, Stored]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the variables of the model under TensorFlow's own names, ``local/kernel``, where the file tells them."""
    shards = sorted(prefix.parent.glob(f"{prefix.name}.data-?????-of-?????"))
    if any(entry.shard >= len(shards) for entry in stored.values()) or len(shards) != _count(shards):
        raise problem(
            path, "missing", f"{len(shards)} data files", "all of them", f"copy all {prefix.name}.data-* files"
        )
    names = dict(_full_names(shards, stored)) if GRAPH in stored else {}
    tensors: dict[str, Tensor] = {}
    left = []
    for key in [*(key for key in names if key in stored), *sorted(stored.keys() - names.keys() - {GRAPH})]:
        entry = stored[key]
        if key.startswith(_TRAINING) or ".OPTIMIZER_SLOT" in key or key.endswith(_SLOTS):
            left.append(key)
        elif entry.dtype not in DTYPES or entry.parts:
            left.append(f"{key} ({'in parts' if entry.parts else 'no numbers'})")
        else:
            plain = key.removesuffix(VALUE)
            name = names.get(key) or plain
            name = check_name(path, plain if name in tensors else name)
            tensors[name] = _tensor(path, name, shards[entry.shard], entry)
    return tensors, tuple(left)


def _count(shards: list[Path]) -> int:
    return int(shards[0].name[-5:]) if shards else -1


def _tensor(path: Path, name: str, shard: Path, entry: Stored) -> Tensor:
    dtype = DTYPES[entry.dtype]
    declared, size = math.prod(entry.shape) * dtype.itemsize, shard.stat().st_size
    if declared != entry.size or entry.offset + entry.size > size:
        got = f"array {shown(name, 80)!r} of shape {entry.shape} at {entry.offset}"
        raise problem(path, "size", got, f"{entry.size} bytes, in a file of {size}", "copy the data files again")
    return Tensor(name, entry.shape, dtype, partial(_read, path, name, shard, entry))


def _read(path: Path, name: str, shard: Path, entry: Stored) -> Array:
    with reading(path, f"array {name!r}"):
        dtype = DTYPES[entry.dtype]
        array = np.fromfile(shard, dtype.newbyteorder("<"), math.prod(entry.shape), offset=entry.offset)
        return array.reshape(entry.shape).astype(dtype, copy=False)


def _full_names(shards: list[Path], stored: Mapping[str, Stored]) -> Iterator[tuple[str, str]]:
    """Yield keys and the names that variables had, in the order of the graph of objects."""
    entry = stored[GRAPH]
    check_text(shards[entry.shard], "a graph of objects", entry.size)
    with shards[entry.shard].open("rb") as file:
        file.seek(entry.offset)
        data = file.read(entry.size)
    length, place = varint(data, 0)
    for attribute in inside(data[place + 4 : place + 4 + length], 1, 2):
        if text(attribute, 1) == "VARIABLE_VALUE":
            yield text(attribute, 3), text(attribute, 2)


def _plain(value: Any) -> Any:
    """Return a configuration with lists where a SavedModel marks tuples and shapes."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    marked = value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value
    return _plain(value["items"]) if marked else {key: _plain(one) for key, one in value.items()}


def _configuration(folder: Path) -> Mapping[str, Any] | None:
    """Return what Keras wrote about the model: beside the graph, or before TensorFlow 2.5 inside it."""
    metadata, graph = folder / "keras_metadata.pb", folder / "saved_model.pb"
    file = metadata if metadata.is_file() else graph
    check_text(file, "a description of a model", file.stat().st_size)
    data = file.read_bytes()
    if metadata.is_file():
        found = next((text(node, 5) for node in inside(data, 1) if text(node, 3) == "root"), "")
    else:
        root = next(inside(data, 2, 7, 1), b"")
        found = next((text(user, 3) for user in inside(root, 4)), "")
    model = _plain(parse_json(folder, found, "the metadata of Keras")) if found else {}
    has_layers = isinstance(model.get("config"), dict) and "layers" in model["config"]
    return model if has_layers else None
