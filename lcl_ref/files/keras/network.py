"""All layers with weights of a Keras model, and which arrays are theirs: what a port of the whole network needs."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lcl_ref.files.contents import NetworkLayer, WeightFile
from lcl_ref.files.hdf5.process import Hdf5
from lcl_ref.files.keras import config, dialects
from lcl_ref.files.keras.config import Entry
from lcl_ref.files.keras.old_arrays import listing
from lcl_ref.files.keras.shapes import Flattened
from lcl_ref.files.untrusted import reading

_KEPT = (
    *("units", "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "use_bias"),
    *("activation", "recurrent_activation", "epsilon", "momentum", "center", "scale", "axis", "reset_after", "layer"),
    *("return_sequences", "go_backwards", "merge_mode", "depth_multiplier", "input_dim", "output_dim"),
)
"""Settings that tell what a layer computes, or how its arrays lie."""

_SPATIAL = ("Conv", "LocallyConnected", "MaxPooling", "AveragePooling", "DepthwiseConv", "SeparableConv")

_LEAVES = (
    *("kernel", "depthwise_kernel", "pointwise_kernel", "embeddings", "gamma", "alpha", "recurrent_kernel", "bias"),
    *("beta", "moving_mean", "moving_variance"),
)
"""What Keras 2 calls its arrays, in the order in which a layer has them."""


def network_of(file: WeightFile, model: Mapping[str, Any]) -> tuple[NetworkLayer, ...]:
    """Return the layers of a model that have arrays in a file; `model` is its configuration."""
    with reading(file.path, "the configuration of a Keras model"):
        entries = config.read(model).layers
        formats = {entry.class_name: entry.config.get("data_format") for entry in entries}
        first = formats.get("Flatten") != "channels_first" and any(
            word == "channels_first" for kind, word in formats.items() if kind.startswith(_SPATIAL)
        )
        read_as = _read_as(file, model)
        local = {layer.name: tuple(filter(None, (layer.weight, layer.bias))) for layer in file.layers}
        found = [
            _layer(entry, local.get(entry.name) or tuple(_arrays(file, entry)), read_as, first=first)
            for entry in entries
        ]
        return tuple(layer for layer in found if layer.arrays)


def _layer(entry: Entry, arrays: tuple[str, ...], read_as: str, *, first: bool) -> NetworkLayer:
    settings = {key: entry.config[key] for key in _KEPT if key in entry.config}
    if isinstance(settings.get("layer"), Mapping):  # what Bidirectional wraps
        inner = settings["layer"]
        kept = {key: inner["config"][key] for key in _KEPT if key in inner["config"]}
        settings["layer"] = {"class_name": inner["class_name"], "config": kept}
    shape = entry.input_shape
    parts = shape.parts if isinstance(shape, Flattened) and all(map(all, shape.parts)) else ()
    features = tuple(tuple(size or 0 for size in part) for part in parts)
    return NetworkLayer(entry.name, entry.class_name, arrays, settings, read_as, features, "first" if first else "last")


def _arrays(file: WeightFile, entry: Entry) -> Sequence[str]:
    """Return the names of an entry's arrays, in Keras's order."""
    hdf5 = isinstance(file.handle, Hdf5)
    if any(name.startswith(("layers/", "_layer_checkpoint_dependencies/")) for name in file.tensors):
        places = (entry.place, entry.place.replace("layers/", "_layer_checkpoint_dependencies/"))
        below = rf"({'|'.join(map(re.escape, places))})/(\w+/)*vars/"
        return sorted(filter(re.compile(below).match, file.tensors), key=_is_backward)
    if not hdf5:
        return _owned(file.tensors, entry)
    prefix = "" if "model_weights" not in file.handle.groups else "model_weights/"
    attributes = file.handle.groups.get(f"{prefix}{entry.group}", {})
    texts = [attributes[part] for part in listing(attributes)]
    listed = [name for text in texts if isinstance(text, dict) for name in text.get("names", ())]
    names = [name for name in (f"{entry.group}/{one}" for one in listed) if name in file.tensors]
    if not listed:
        names = sorted((name for name in file.tensors if name.startswith(f"{entry.group}/")), key=_order)
    return names if entry.alone else _owned(names, entry)


def _owned(names: Sequence[str] | Mapping[str, Any], entry: Entry) -> list[str]:
    """Return the arrays that have the layer's name in their own; TensorFlow may have counted it on."""
    bare = re.escape(entry.name.split("/")[-1])
    for owner in (bare, rf"{bare}_\d+"):
        found = [name for name in names if any(re.fullmatch(owner, part) for part in name.split("/")[:-1])]
        if found:
            return sorted(found, key=_order)
    return []


def _order(name: str) -> tuple[bool, int]:
    leaf = name.rpartition("/")[2].partition(":")[0]
    return _is_backward(name), _LEAVES.index(leaf) if leaf in _LEAVES else len(_LEAVES)


def _is_backward(name: str) -> bool:
    return "/backward_" in f"/{name}"


def _read_as(file: WeightFile, model: Mapping[str, Any]) -> str:
    """Return which of the older ways of storing arrays a file has (`lcl_ref.files.keras.old_arrays`)."""
    if not isinstance(file.handle, Hdf5):
        return ""
    groups = file.handle.groups
    told = groups.get("", {}) | groups.get("model_weights", {})
    version = _text(told.get("keras_version", "1" if "model_config" in told else ""))
    first = dialects.is_first(model) or version.startswith("1")
    return " ".join(["keras1"] * first + ["theano"] * (_text(told.get("backend", "")) == "theano"))


def _text(value: Any) -> str:
    return base64.b64decode(value["bytes"]).decode() if isinstance(value, dict) and "bytes" in value else str(value)
