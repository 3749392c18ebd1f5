"""Writing Keras files: a copy of the one that was read, with converted kernels and the settings that go with them.

The model around the layers stays as it is, so only layouts of the same data format fit; ``implementation`` is edited.
Training state is left out: optimiser slots have the shapes of the old layout.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lcl_ref.errors import LayoutError, Violation
from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.hdf5 import stored
from lcl_ref.files.hdf5.process import Hdf5
from lcl_ref.files.keras import config
from lcl_ref.files.keras.reading import CONFIG, METADATA, STATE, WEIGHTS
from lcl_ref.outside import scratch

Produce = Callable[[str], Array]
"""Name of an array -> the array as it is to be written."""


def check_fits(layer: LocalLayer, target: str) -> None:
    """Refuse a layout that the configuration of the model cannot express.

    Raises
    ------
    LayoutError
        If `target` is not one of Keras's, in the data format of the model.
    """
    _, _, data_format = layer.layout.rpartition("/")
    project = layer.layout.split("/")[0]
    if not (target.startswith(f"{project}/") and target.endswith(f"/{data_format}")):
        expected = f"a layout {project}/.../{data_format}, which the model around layer {layer.name} can load"
        todo = "write a .safetensors or .npz file instead"
        raise LayoutError(Violation("layout/keras", "--to", target, expected, todo=todo))
    if "/impl1/" in target and layer.settings.get("padding", "valid") != "valid":
        todo = "implementation 1 takes padding valid only; keep implementation 2 or 3, or write .safetensors or .npz"
        got = f"{target} for layer {layer.name}, whose padding is {layer.settings['padding']!r}"
        raise LayoutError(Violation("layout/keras", "--to", got, "a layout that its padding allows", todo=todo))


def write_h5(path: Path, old: WeightFile, converted: Mapping[str, str], produce: Produce) -> None:
    """Copy a whole-model ``.h5`` file; `converted` maps layer names to their new layouts."""
    assert old.config is not None
    root = {key: value for key, value in old.handle.groups[""].items() if key != "training_config"}
    with stored.library().File(path, "w") as new:
        stored.set_attributes(new, root | {"model_config": json.dumps(edited(old.config, converted))})
        _copy(old.handle, new, "model_weights/", produce)


def write_zip(path: Path, old: WeightFile, converted: Mapping[str, str], produce: Produce) -> None:
    """Copy a ``.keras`` file; `converted` maps layer names to their new layouts."""
    texts, weights = old.handle
    assert old.config is not None
    config = edited({key: value for key, value in old.config.items() if key != "compile_config"}, converted)
    with scratch.folder() as folder, scratch.room():
        copy = folder / "weights.h5"
        with stored.library().File(copy, "w") as new:
            stored.set_attributes(new, weights.groups[""])
            _copy(weights, new, "", produce)
        with zipfile.ZipFile(path, "w") as target:
            if METADATA in texts:
                target.writestr(zipfile.ZipInfo(METADATA), texts[METADATA])
            target.writestr(zipfile.ZipInfo(CONFIG), json.dumps(config))
            target.write(copy, WEIGHTS)


def write_arrays(path: Path, names: list[str], produce: Produce) -> None:
    """Write arrays into a ``.h5`` file under their names, with the attributes by which Keras finds weights."""
    owners: dict[str, list[str]] = {}
    with stored.library().File(path, "w") as new:
        for name in names:
            new.create_dataset(name, data=produce(name))
            owner, _, rest = name.partition("/")
            if rest:
                owners.setdefault(owner, []).append(rest)
        new.attrs["layer_names"] = [owner.encode() for owner in owners]
        for owner, rests in owners.items():
            new[owner].attrs["weight_names"] = [rest.encode() for rest in rests]


def _copy(old: Hdf5, new: Any, prefix: str, produce: Produce) -> None:
    """Copy the groups and datasets below `prefix`, datasets through `produce`, but for the training state."""
    for name, values in old.groups.items():
        if f"{name}/".startswith(prefix) and name and name.split("/")[0] not in STATE:
            stored.set_attributes(new.require_group(name), values)
    for name, (_, values) in old.datasets.items():
        if name.startswith(prefix) and name.split("/")[0] not in STATE:
            stored.set_attributes(new.create_dataset(name, data=produce(name.removeprefix(prefix))), values)


def edited(model: Mapping[str, Any], converted: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration with the implementation of every converted layer."""
    copy: dict[str, Any] = json.loads(json.dumps(model))
    for entry in config.read(copy).entries:
        target = converted.get(entry.name, "")
        if "/impl" in target:
            entry.stored["implementation"] = int(target.split("/impl")[1][0])
    return copy
