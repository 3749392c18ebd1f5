"""The stored configuration of a Keras model, read as data: its locally connected layers and the shapes they see.

Nothing in it is ever instantiated. Written by Keras 1 (lists of layers, ``nb_filter``), Keras 2 and tf_keras
(``inbound_nodes`` as lists) and Keras 3 (``__keras_tensor__``), in whole-model ``.h5`` and in ``.keras`` files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lcl_ref.files.keras.shapes import KNOWN, Config, Shape, output_shape

LOCAL = ("LocallyConnected1D", "LocallyConnected2D", "LocallyConnected3D")
MODELS = ("Sequential", "Functional", "Model")
REGISTERED = "lcl_backends>"
"""What ``.h5`` files of Keras 3 put before the names of this project's layers."""

CONTAINERS = {"TimeDistributed", "Bidirectional"}

_OLD_NAMES = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample": "strides",
    "subsample_length": "strides",
    "border_mode": "padding",
    "bias": "use_bias",
}
"""Keras 1 -> Keras 2."""


@dataclass(frozen=True)
class Entry:
    """One locally connected layer of a configuration.

    Parameters
    ----------
    name : str
        Layer name, with the names of the models around it: ``inner/local``.
    class_name : str
        One of `LOCAL`.
    config : mapping
        Its settings, in the words of Keras 2.
    input_shape : tuple or None
        Shape of its input without batch, in its own data format; unknown entries are None.
    group : str
        The layer of the outermost model that holds it: where ``.h5`` files keep its weights.
    place : str
        Where ``.keras`` files keep its weights, e.g. ``layers/sequential/layers/locally_connected2d_1``.
    stored : dict
        The layer's own settings inside the configuration, to be edited when it is written again.
    first_keras : bool
        Whether the settings are those of Keras 1.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    input_shape: Shape
    group: str
    place: str
    stored: dict[str, Any]
    first_keras: bool


@dataclass
class Reading:
    """What was found in a configuration."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(model: Mapping[str, Any]) -> Reading:
    """Return the locally connected layers of a model's configuration."""
    found = Reading()
    _model(found, model, None, "", "", "")
    return found


def _layers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    config = model["config"]
    return list(config if isinstance(config, list) else config["layers"])


def _model(found: Reading, model: Mapping[str, Any], input_shape: Shape, prefix: str, group: str, place: str) -> Shape:
    """Read one model, nested or not, and return its output shape."""
    shapes: dict[str, Shape] = {}
    used: Counter[str] = Counter()
    sequential = model["class_name"] == "Sequential"
    latest = input_shape
    for layer in _layers(model):
        class_name, config = layer["class_name"].removeprefix(REGISTERED), _modern(layer["config"])
        name = config.get("name") or layer.get("name") or class_name
        stem = snake_case(class_name)
        here = f"{place}layers/{stem}" + (f"_{used[stem]}" if used[stem] else "")
        used[stem] += 1
        inputs = [latest] if sequential else [shapes.get(source) for source in _inbound(layer)] or [input_shape]
        own = _first_known(layer, config)
        seen = own if own is not None else inputs[0]
        if class_name in MODELS:
            latest = _model(found, layer, seen, f"{prefix}{name}/", group or name, f"{here}/")
        else:
            _note(found, class_name, f"{prefix}{name}")
            if class_name in LOCAL:
                old = "nb_filter" in layer["config"]
                stored = layer["config"]
                entry = Entry(f"{prefix}{name}", class_name, config, seen, group or name, here, stored, old)
                found.entries.append(entry)
            latest = output_shape(class_name, config, [seen] if own is not None or len(inputs) == 1 else inputs)
        shapes[name] = latest
    return latest if sequential else _output(model, shapes)


def _note(found: Reading, class_name: str, name: str) -> None:
    if class_name in CONTAINERS:
        found.notes.append(f"{name}: what {class_name} wraps is carried along as it is, not converted")
    elif class_name not in KNOWN:
        found.notes.append(f"{name}: {class_name} is not looked into (no code of the file is run)")


def _first_known(layer: Mapping[str, Any], config: Config) -> Shape:
    """Return the input shape that the file states for this layer itself, without batch."""
    stated = [config.get("batch_input_shape"), config.get("batch_shape")]
    stated += [(layer.get("build_config") or {}).get("input_shape")]
    stated += [tensor["config"].get("shape") for tensor in _tensors(_first_call(layer))]
    for shape in stated:
        if isinstance(shape, Sequence) and shape and all(n is None or isinstance(n, int) for n in shape):
            return tuple(shape[1:])
    return None


def _first_call(layer: Mapping[str, Any]) -> Any:
    nodes = layer.get("inbound_nodes") or []
    return nodes[0] if nodes else None


def _tensors(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the ``__keras_tensor__`` entries anywhere in a call, as Keras 3 writes it."""
    if isinstance(node, Mapping):
        if node.get("class_name") == "__keras_tensor__":
            yield node
            return
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _tensors(part)


def _inbound(layer: Mapping[str, Any]) -> list[str]:
    """Return the names of the layers whose outputs this one takes."""
    node = _first_call(layer)
    if isinstance(node, Mapping):
        return [tensor["config"]["keras_history"][0] for tensor in _tensors(node)]
    if not node:
        return []
    return [node[0]] if isinstance(node[0], str) else [source[0] for source in node]


def _output(model: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of the first output of a functional model."""
    outputs = model["config"].get("output_layers") or []
    while outputs and not isinstance(outputs[0], str):
        outputs = outputs[0]
    return shapes.get(outputs[0]) if outputs else None


def _modern(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer in the words of Keras 2."""
    values = (
        {_OLD_NAMES.get(key, key): value for key, value in config.items()} if "border_mode" in config else dict(config)
    )
    if "nb_row" in config:
        values["kernel_size"] = [config["nb_row"], config["nb_col"]]
    if "dim_ordering" in config:
        values["data_format"] = {"th": "channels_first", "tf": "channels_last"}.get(config["dim_ordering"])
    if "output_dim" in config and "units" not in config:
        values["units"] = config["output_dim"]
    return values


def snake_case(class_name: str) -> str:
    """Return the name under which Keras stores an object of this class: ``locally_connected2d``."""
    bare = re.sub(r"\W+", "", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", bare)).lower()
