"""Configurations of every Keras before 3 in the words of its last version: what all readers of Keras files begin with.

Keras 1 had other words (``nb_filter``, ``border_mode``), and wrote regularisers and constraints by ``name``. Up to
Keras 2.2.2 the ``config`` of a Sequential is a list of layers, and up to TensorFlow 2.2 it has no `InputLayer`: its
first layer states ``batch_input_shape``. Dtype policies are spelled in six ways. Nothing is ever instantiated.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

MODELS = ("Sequential", "Functional", "Model")
Config = dict[str, Any]

SIZES = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))
"""Arguments of Keras 1 that are the kernel's sizes, one per axis."""


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("dialects.toml").read_text())


def layers_of(model: Mapping[str, Any]) -> list[Any]:
    """Return the layers of a model's entry."""
    config = model["config"]
    return list(config if isinstance(config, list) else config["layers"])


def image_format(entry: Any) -> str | None:
    """Return the data format of a Keras 1 model; its padding and resizing layers do not state their own."""
    if isinstance(entry, Mapping):
        word = _tables()["values"]["dim_ordering"].get(entry.get("dim_ordering"))
        return word or next(filter(None, map(image_format, entry.values())), None)
    return next(filter(None, map(image_format, entry)), None) if isinstance(entry, list) else None


def is_first(entry: Any) -> bool:
    """Return whether a configuration is in the words of Keras 1."""
    if isinstance(entry, Mapping):
        own = {"border_mode", "dim_ordering", "inner_init", "forget_bias_init"}
        return bool(own & set(entry)) or any(map(is_first, entry.values()))
    return isinstance(entry, list) and any(map(is_first, entry))


def layer(entry: Mapping[str, Any], data_format: str | None = None) -> Config:
    """Return the entry of a layer or model in the words of late Keras 2; what needs no change stays as it was.

    Parameters
    ----------
    entry : mapping
        ``class_name``, ``config`` and what else the file says.
    data_format : str, optional
        That of the whole model, where a layer of Keras 1 does not state it.
    """
    config = entry["config"]
    if isinstance(config, list):
        config = {"name": entry.get("name", "sequential"), "layers": config}
    name = entry["class_name"]
    if "dtype" in config:
        config = config | {"dtype": _dtype(config["dtype"])}
    if name == "Merge":
        return {**entry, **_merge(config)}
    if data_format is not None and _takes_format(name) and not {"data_format", "dim_ordering"} & set(config):
        config = config | {"data_format": data_format}
    return {**entry, "class_name": _tables()["classes"].get(name, name), "config": _settings(name, config, data_format)}


def _takes_format(name: str) -> bool:
    return name.startswith(("UpSampling", "ZeroPadding", "Cropping")) and name[-2:] in ("2D", "3D")


def _settings(name: str, config: Config, data_format: str | None) -> Config:
    words = _tables()["words"] | _tables()["words_of"].get(name, {})
    apart = {"input_dtype", *chain(*SIZES)}
    if name not in _tables()["layers"] or not set(config) & {*words, "input_dtype", *(axes[0] for axes in SIZES)}:
        return config
    new: Config = {}
    for key, value in config.items():
        word = words.get(key, key)
        if word and key not in apart:
            new[word] = _value(key, value, data_format)
    for axes in SIZES:
        if axes[0] in config:
            new["kernel_size"] = [config[axis] for axis in axes]
    if name != "Embedding" and "input_dim" in new:
        channels, length = new.pop("input_dim"), new.pop("input_length", None)
        if channels is not None:
            sizes = [length, channels] if "input_length" in config else [channels]
            new.setdefault("batch_input_shape", [None, *sizes])
    return new


def _value(key: str, value: Any, data_format: str | None) -> Any:
    if key == "dim_ordering":
        return _tables()["values"][key].get(value, data_format)
    if key == "consume_less":
        return _tables()["values"][key].get(value, 1)
    if key == "forget_bias_init":
        return value == "one"
    if isinstance(value, Mapping) and "name" in value and "class_name" not in value:
        return _by_name(value)
    return value


def _by_name(value: Mapping[str, Any]) -> Any:
    """Return a regulariser or constraint of Keras 1, ``{"name": ..., ...}``, as Keras 2 writes it."""
    found = _tables()["constraints"].get(value["name"])
    settings = {{"m": "max_value"}.get(key, key): given for key, given in value.items() if key != "name"}
    if found:
        return {"class_name": found, "config": settings}
    if {"l1", "l2"} & set(settings):
        return {"class_name": "L1L2", "config": {key: settings.get(key, 0.0) for key in ("l1", "l2")}}
    return value


def _merge(config: Config) -> Config:
    """Return the layer of Keras 2 that a `Merge` of Keras 1 is; one that holds layers, or runs code, stays."""
    kind = _tables()["merges"].get(config.get("mode"))
    if kind is None or config.get("layers"):
        return {}
    new = {"name": config["name"]} if "name" in config else {}
    if kind == "Concatenate":
        new["axis"] = config.get("concat_axis", -1)
    if kind == "Dot":
        new |= {"axes": config.get("dot_axes", -1), "normalize": config["mode"] == "cos"}
    return {"class_name": kind, "config": new}


def _dtype(value: Any) -> Any:
    """Return the dtype of a layer by name, in whichever way a policy of Keras 2 is spelled."""
    if isinstance(value, Mapping):
        if value.get("class_name") not in ("Policy", "PolicyV1"):
            return value
        value = value.get("config", {}).get("name")
    if not isinstance(value, str):
        return value
    if value.endswith("_with_float32_vars"):  # TensorFlow 2.0
        return {"float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}.get(value.split("_")[0], "float32")
    return "float32" if value in ("infer", "_infer") else value


def with_inputs(config: Config) -> Config:
    """Return the settings of a Sequential model with an `InputLayer` where only its first layer states a shape."""
    first = config["layers"][0] if config["layers"] else {}
    shape = first.get("config", {}).get("batch_input_shape") if first.get("class_name") != "InputLayer" else None
    if shape is None:
        return config
    settings: Config = {"batch_input_shape": shape, "name": f"{first['config'].get('name', 'first')}_input"}
    embedding = first["class_name"] == "Embedding"
    settings["dtype"] = "int32" if embedding else first["config"].get("dtype") or "float32"
    if str(settings["dtype"]).startswith("mixed"):
        settings["dtype"] = "float32"
    entry: Config = {"class_name": "InputLayer", "config": settings}
    if "module" in first:
        entry |= {"module": "keras.layers", "registered_name": None}
    return config | {"layers": [entry, *config["layers"]]}


def readable(entry: Any, data_format: str | None = None) -> Any:
    """Return a whole configuration with every entry in the words of late Keras 2."""
    if isinstance(entry, list):
        return [readable(part, data_format) for part in entry]
    if not isinstance(entry, Mapping):
        return entry
    images = data_format or image_format(entry)
    if "class_name" in entry and isinstance(entry.get("config"), dict | list):
        entry = layer(entry, images)
    return {key: readable(value, images) for key, value in entry.items()}
