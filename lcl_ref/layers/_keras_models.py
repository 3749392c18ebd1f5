"""Whole models of Keras 1 and 2 in Keras 3: what a configuration of old must be called now.

Keras 3 reads files of late Keras 2, but not all of them. In ``.keras`` files it does not find the class of functional
models, nor any layer it has removed, and refuses the axis of `BatchNormalization`, a list of one. In both formats it
looks for the calls of nested models at other places than Keras 2 counted them, takes one input or output for a list of
one, and the batch size in ``batch_input_shape`` for an axis. `modern` changes these, begins with what
`lcl_ref.files.keras.dialects` does to earlier files, and ends with `lcl_ref.layers._keras_arguments`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcl_ref.files.keras import dialects
from lcl_ref.files.keras.architecture import read as read_architecture
from lcl_ref.layers import _keras_arguments as arguments
from lcl_ref.layers._keras_arrays import changes_arrays, rewrite_h5, text_of

CONFIG, METADATA = "config.json", "metadata.json"
LOCAL = ("LocallyConnected1D", "LocallyConnected2D")
FUNCTIONAL = {"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional"}
"""As Keras 3 itself writes it."""


@contextmanager
def modernised(path: Path, architecture: Path | None = None) -> Iterator[Path]:
    """Give a copy of a ``.h5`` or ``.keras`` file with `modern` configuration, or the file itself if nothing changes.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file holds weights without a configuration, or is no such file.
    """
    archive = zipfile.is_zipfile(path)
    found, version = _archived(path) if archive else _attribute(path, architecture)
    new = modern(found, dialects.image_format(found), old=not version.startswith("3"))
    with tempfile.TemporaryDirectory(prefix="lcl-") as folder:
        copy = Path(folder) / f"model{'.keras' if archive else '.h5'}"
        if archive and new != found:
            _rewrite_archive(path, copy, json.dumps(new))
        elif not archive and (architecture is not None or new != found or changes_arrays(path, found)):
            rewrite_h5(path, copy, json.dumps(new), found)
        yield copy if copy.exists() else path


def modern(entry: Any, data_format: str | None = None, *, old: bool = True) -> Any:
    """Return a configuration with names and places of Keras 3; what needs no change is equal to what it was.

    Parameters
    ----------
    entry : object
        A configuration, or a part of one.
    data_format : str, optional
        That of a whole model of Keras 1 (`lcl_ref.files.keras.dialects.image_format`).
    old : bool
        Whether a Keras before 3 wrote it.
    """
    if isinstance(entry, list):
        return [modern(part, data_format, old=old) for part in entry]
    if not isinstance(entry, Mapping):
        return entry
    if "class_name" in entry and isinstance(entry.get("config"), dict | list):
        entry = dialects.layer(entry, data_format)
    changed = {key: modern(value, data_format, old=old) for key, value in entry.items()}
    config = changed.get("config")
    if "class_name" not in changed or not isinstance(config, dict):
        return changed
    changed |= arguments.current(changed, old=old)
    config = changed["config"]
    if isinstance(config.get("layers"), list):
        config = dialects.with_inputs(config) if changed["class_name"] == "Sequential" else config
        config = config | {"layers": [_without_shape(layer) for layer in config["layers"]]}
        changed["config"] = _recounted(config)
    elif isinstance(config.get("layer"), Mapping):
        held = {key: _without_shape(config[key]) for key in ("layer", "backward_layer") if config.get(key)}
        changed["config"] = config | held
    return changed | _renamed(changed["class_name"], changed["config"], "module" in changed)


def _renamed(name: str, config: dict[str, Any], by_module: bool) -> dict[str, Any]:
    """Return what changes in the entry of a class; only ``.keras`` files tell modules."""
    if name in ("Model", "Functional") and "input_layers" in config:
        return FUNCTIONAL if by_module else {"class_name": "Functional"}
    if name in LOCAL and by_module:
        return {"module": "lcl_ref.layers.keras", "registered_name": f"lcl_backends>{name}"}
    if name == "ThresholdedReLU" and by_module:
        return {"module": "lcl_ref.layers.keras", "registered_name": name}  # among the custom objects of `load_model`
    axis = config.get("axis")
    if name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        return {"config": config | {"axis": axis[0]}}
    return {}


def _without_shape(layer: dict[str, Any]) -> dict[str, Any]:
    """Drop the shape of inputs that a layer repeats: an `InputLayer` tells it."""
    if layer.get("class_name") == "InputLayer" or "batch_input_shape" not in layer.get("config", {}):
        return layer
    return layer | {"config": {key: value for key, value in layer["config"].items() if key != "batch_input_shape"}}


def _recounted(config: dict[str, Any]) -> dict[str, Any]:
    """Count the calls of nested models from 0, where they are counted from 1, and take single ends out of lists."""
    if any(isinstance(node, Mapping) for layer in config["layers"] for node in layer.get("inbound_nodes", ())):
        return config  # written by Keras 3, whose nodes are no lists
    models = [layer for layer in config["layers"] if "layers" in layer.get("config", {})]
    calls = {_name(layer): layer.get("inbound_nodes", []) for layer in models}
    wires = [config.get("output_layers"), *(layer.get("inbound_nodes") for layer in config["layers"])]
    late = {name for name, nodes in calls.items() if any(at >= len(nodes) for at in _places(wires, name))}
    layers = [
        layer | {"inbound_nodes": _earlier(layer["inbound_nodes"], late)} if "inbound_nodes" in layer else layer
        for layer in config["layers"]
    ]
    late &= {_name(layer) for layer in models if layer["class_name"] == "Sequential"}
    ends = {  # Keras 3 itself counts anew where a nested functional model is an end
        key: _earlier(config[key], late) for key in ("input_layers", "output_layers") if key in config
    }
    single = {
        key: value[0]
        for key, value in ends.items()
        if isinstance(value, list) and len(value) == 1 and _is_wire(value[0])  # a mapping has named ends
    }
    return config | {"layers": layers} | ends | single


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name", layer.get("config", {}).get("name")))


def _is_wire(value: Any) -> bool:
    """Return whether a value is ``[layer, call, output, ...]``, the result of a call of a layer."""
    return isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int)


def _places(wires: Any, name: str) -> list[int]:
    """Return which calls of a layer others read."""
    if _is_wire(wires):
        return [wires[1]] * (wires[0] == name) + _places(wires[3:], name)
    values = wires.values() if isinstance(wires, Mapping) else wires if isinstance(wires, list) else ()
    return [at for value in values for at in _places(value, name)]


def _earlier(wires: Any, late: set[str]) -> Any:
    """Return the wires with the calls of these layers counted one less."""
    if _is_wire(wires):
        return [wires[0], wires[1] - (wires[0] in late), wires[2], *_earlier(wires[3:], late)]
    if isinstance(wires, Mapping):
        return {key: _earlier(value, late) for key, value in wires.items()}
    return [_earlier(value, late) for value in wires] if isinstance(wires, list) else wires


def _archived(path: Path) -> tuple[Any, str]:
    """Return the configuration in an archive, and the version that wrote it."""
    with zipfile.ZipFile(path) as archive:
        known = json.loads(archive.read(METADATA)) if METADATA in archive.namelist() else {}
        return json.loads(archive.read(CONFIG)), str(known.get("keras_version", ""))


def _attribute(path: Path, architecture: Path | None) -> tuple[Any, str]:
    """Return the configuration in an HDF5 file, or of the model beside it, and the version that wrote it."""
    import h5py

    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.is_dir() or not h5py.is_hdf5(path):
        todo = "a SavedModel folder must be saved as one by the Keras that wrote it"
        raise ValueError(f"{path.name} is no whole .h5 or .keras file; {todo}.")
    try:
        with h5py.File(path) as file:
            text, version = file.attrs.get("model_config"), file.attrs.get("keras_version", b"")
    except OSError as error:
        raise ValueError(f"{path.name} is a damaged HDF5 file ({error}). Copy or download it again.") from error
    if text is None and architecture is None:
        todo = "build the model and use its load_weights, or name its to_json as architecture, or lcl convert"
        raise ValueError(f"{path.name} holds weights without a model. Instead: {todo}.")
    if text is None:
        assert architecture is not None
        return read_architecture(architecture), text_of(version)
    return json.loads(text), text_of(version)


def _rewrite_archive(path: Path, copy: Path, text: str) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for info in old.infolist():
            with old.open(info) as stored, new.open(info.filename, "w", force_zip64=True) as target:
                if info.filename == CONFIG:
                    target.write(text.encode())
                else:
                    shutil.copyfileobj(stored, target, 1 << 20)
