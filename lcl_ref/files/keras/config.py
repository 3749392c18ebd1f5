"""The stored configuration of a Keras model, read as data: its locally connected layers and the shapes they see.

Nothing in it is ever instantiated. Written by Keras 1 and 2 (`lcl_ref.files.keras.dialects`; ``inbound_nodes`` as
lists) and Keras 3 (``__keras_tensor__``), in whole-model ``.h5`` and ``.keras`` files, and by ``to_json``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lcl_ref.files.keras import dialects
from lcl_ref.files.keras.shapes import KNOWN, Config, Flattened, Shape, output_shape

LOCAL = ("LocallyConnected1D", "LocallyConnected2D", "LocallyConnected3D")
REGISTERED = "lcl_backends>"
"""What ``.h5`` files of Keras 3 put before the names of this project's layers."""


@dataclass(frozen=True)
class Entry:
    """One layer of a configuration that is no model and no TimeDistributed.

    Parameters
    ----------
    name : str
        Layer name, with the names of the models and wrappers around it: ``inner/local``.
    class_name : str
        Its class, in the words of Keras 2.
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
    alone : bool
        Whether its arrays are all that is stored in its group.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    input_shape: Shape
    group: str
    place: str
    stored: dict[str, Any]
    first_keras: bool
    alone: bool


@dataclass
class Reading:
    """What was found in a configuration: all layers, in its order, and notes on what was not looked into."""

    layers: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        """The locally connected layers."""
        return [entry for entry in self.layers if entry.class_name in LOCAL]


@dataclass(frozen=True)
class _Place:
    """Where a layer stands: the names around it, and where each format keeps its weights."""

    prefix: str = ""
    group: str = ""
    place: str = ""
    alone: bool = True

    def inside(self, name: str, place: str, *, alone: bool) -> _Place:
        return _Place(f"{self.prefix}{name}/", self.group or name, f"{place}/", alone=alone)


def read(model: Mapping[str, Any]) -> Reading:
    """Return the locally connected layers of a model's configuration."""
    found = Reading()
    _model(found, model, None, _Place(), dialects.image_format(model))
    return found


def _model(found: Reading, model: Mapping[str, Any], input_shape: Shape, at: _Place, images: str | None) -> Shape:
    """Read one model, nested or not, and return its output shape."""
    shapes: dict[str, Shape] = {}
    used: Counter[str] = Counter()
    sequential = model["class_name"] == "Sequential"
    latest = input_shape
    for stored in dialects.layers_of(model):
        layer = _layer(stored, images)
        name, stem = _name(layer), snake_case(layer["class_name"])
        here = f"{at.place}layers/{stem}" + (f"_{used[stem]}" if used[stem] else "")
        used[stem] += 1
        inputs = [latest] if sequential else [shapes.get(source) for source in _inbound(layer)] or [input_shape]
        own = _first_known(layer, layer["config"])
        known = own is None or len(inputs) > 1 or tuple(inputs[0] or ()) == own  # then by the layers before it
        seen = inputs if known else [own]
        latest = shapes[name] = _one(found, stored, layer, seen, at, here, images)
    return latest if sequential else _output(model, shapes)


def _layer(stored: Mapping[str, Any], images: str | None) -> dict[str, Any]:
    layer = dialects.layer(stored, images)
    bare = layer["class_name"].removeprefix(REGISTERED)
    local = bare.rpartition(">")[2]  # LocallyConnected3D of another package
    return layer | {"class_name": local if local in LOCAL else bare}


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name") or layer.get("name") or layer["class_name"])


def _one(
    found: Reading,
    stored: Mapping[str, Any],
    layer: Mapping[str, Any],
    inputs: Sequence[Shape],
    at: _Place,
    here: str,
    images: str | None,
) -> Shape:
    """Read one entry of a model, be it a layer, a model or a wrapper, and return its output shape."""
    name, class_name, config = _name(layer), layer["class_name"], layer["config"]
    if class_name in dialects.MODELS:
        return _model(found, stored, inputs[0], at.inside(name, here, alone=False), images)
    if class_name == "TimeDistributed":
        inner = config["layer"]
        seen = inputs[0][1:] if inputs and inputs[0] else None
        within = at.inside(name, here, alone=at.alone)
        before = len(found.entries)
        shape = _one(found, inner, _layer(inner, images), [seen], within, f"{here}/layer", images)
        if len(found.entries) == before:
            found.notes.append(f"{at.prefix}{name}: what TimeDistributed wraps is carried along as it is")
        if shape is None or inputs[0] is None:
            return None
        outer = (inputs[0][0], *shape)
        return Flattened(outer, shape.parts) if isinstance(shape, Flattened) else outer
    seen = inputs[0] if inputs else None
    place = (at.group or name, here, stored["config"], "nb_filter" in stored["config"], at.alone)
    found.layers.append(Entry(f"{at.prefix}{name}", class_name, config, seen, *place))
    if class_name not in KNOWN and class_name not in LOCAL:
        found.notes.append(f"{at.prefix}{name}: {class_name} is not looked into (no code of the file is run)")
    return output_shape(class_name, config, inputs)


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
    while outputs and (isinstance(outputs, Mapping) or not isinstance(outputs[0], str)):
        outputs = next(iter(outputs.values())) if isinstance(outputs, Mapping) else outputs[0]
    return shapes.get(outputs[0]) if outputs else None


def snake_case(class_name: str) -> str:
    """Return the name under which Keras stores an object of this class: ``locally_connected2d``."""
    bare = re.sub(r"\W+", "", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", bare)).lower()
