"""A whole-model ``.h5`` of a model from another container: its arrays put into the groups that Keras 2 looks for.

Keras reads the arrays of each layer of the outermost model in the order of ``weight_names``: trainable ones first.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lcl_ref.files.contents import WeightFile
from lcl_ref.files.hdf5 import stored
from lcl_ref.files.keras import dialects
from lcl_ref.files.keras.config import snake_case
from lcl_ref.files.keras.writing import Produce, edited
from lcl_ref.files.untrusted import problem

VERSION = "2.15.0"
"""The Keras that the file is for."""

STATISTICS = ("moving_mean", "moving_variance")
"""Arrays that are not trained, which come last."""


def write(path: Path, target: Path, old: WeightFile, converted: Mapping[str, str], produce: Produce) -> None:
    """Write the model of `old`; `converted` maps layer names to their new layouts.

    Raises
    ------
    FileError
        If an array belongs to no layer, or Keras 3 wrote the model, whose configuration Keras 2 cannot read.
    """
    assert old.config is not None
    groups = groups_of(target, old)
    with stored.library().File(path, "w") as new:
        new.attrs["model_config"] = json.dumps(edited(old.config, converted))
        new.attrs["keras_version"], new.attrs["backend"] = VERSION, "tensorflow"
        inside = new.create_group("model_weights")
        inside.attrs["keras_version"], inside.attrs["backend"] = VERSION, "tensorflow"
        inside.attrs["layer_names"] = [name.encode() for name in groups]
        for layer, names in groups.items():
            group = inside.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name in names:
                group.create_dataset(f"{name}:0", data=produce(name))


def groups_of(target: Path, old: WeightFile) -> dict[str, list[str]]:
    """Return the arrays of every layer of the outermost model, by its name, in Keras's order.

    Raises
    ------
    FileError
        As `write`.
    """
    assert old.config is not None
    entries = dialects.layers_of(dialects.readable(old.config))
    todo = "write a .safetensors, .npz or .pt file instead, or load its weights into the model built by its code"
    if old.form == "Keras archive":
        known = json.loads(old.handle[0].get("metadata.json", b"{}"))
        if str(known.get("keras_version", "")).startswith("3"):
            raise problem(target, "format", "a model of Keras 3", "one of Keras 2, in a .h5 file", todo)
    places = any(name.startswith(("layers/", "_layer_checkpoint_dependencies/")) for name in old.tensors)
    owner = _by_place(entries) if places else _by_name(entries)
    groups: dict[str, list[str]] = {_name(entry): [] for entry in entries}
    for name in old.tensors:
        layer = owner(name)
        if layer is None:
            raise problem(target, "format", f"array {name!r}", "the arrays of the model's layers", todo)
        groups[layer].append(name)
    return {layer: sorted(names, key=_is_statistic) for layer, names in groups.items()}


def _is_statistic(name: str) -> bool:
    return name.rpartition("/")[2] in STATISTICS


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["config"].get("name") or entry.get("name"))


def _by_name(entries: list[Any]) -> Any:
    """Return the rule of files that name arrays ``layer/leaf``: the layer, or the one that it is inside of."""
    inner = {name: _name(entry) for entry in entries for name in _names(entry["config"])}
    outer = {_name(entry): _name(entry) for entry in entries}

    def owner(array: str) -> str | None:
        folders = array.split("/")[:-1]
        bare = [re.sub(r"_\d+$", "", part) for part in folders]
        return next((known[part] for known in (outer, inner) for part in [*folders, *bare] if part in known), None)

    return owner


def _names(value: Any) -> Iterator[str]:
    """Yield the names of all layers inside a configuration."""
    if isinstance(value, list):
        for one in value:
            yield from _names(one)
    elif isinstance(value, Mapping):
        config = value.get("config")
        if "class_name" in value and isinstance(config, Mapping) and "name" in config:
            yield str(config["name"])
        for one in value.values():
            yield from _names(one)


def _by_place(entries: list[Any]) -> Any:
    """Return the rule of ``.keras`` files: ``layers/conv2d_1/vars/0``; models inside are in an order of their own."""
    places, used = dict[str, str](), Counter[str]()
    for entry in entries:
        stem = snake_case(entry["class_name"])
        places[f"{stem}_{used[stem]}" if used[stem] else stem] = _name(entry)
        used[stem] += 1

    def owner(array: str) -> str | None:
        found = re.fullmatch(r"(?:layers|_layer_checkpoint_dependencies)/([^/]+)/(?:cell/|layer/)?vars/\d+", array)
        return places.get(found[1]) if found else None

    return owner
