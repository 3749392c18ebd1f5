"""Reading Keras files: whole-model ``.h5``, weights-only ``.h5`` and ``.keras``."""

from __future__ import annotations

import base64
import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.files.contents import LocalLayer, Tensor, WeightFile
from lcl_ref.files.hdf5.process import Hdf5
from lcl_ref.files.keras import config
from lcl_ref.files.keras.config import Entry
from lcl_ref.files.keras.layers import legacy_arrays, local_layer
from lcl_ref.files.keras.old_arrays import listing
from lcl_ref.files.untrusted import about, check_name, check_size, check_text, parse_json, problem, reading, zip_archive
from lcl_ref.outside import scratch

WEIGHTS, CONFIG, METADATA = "model.weights.h5", "config.json", "metadata.json"
"""Members of a ``.keras`` file."""

STATE = ("optimizer", "metrics", "_metrics", "optimizer_weights")
"""Groups that hold training state: their slots have the shapes of the old layout."""

_PLACES = {"layers", "_layer_checkpoint_dependencies"}
"""Groups of a weights file of Keras 3, or of late Keras 2 with ``save_format`` ``keras_v3``."""

Specs = Mapping[str, Spec]


def read_h5(path: Path, stack: ExitStack, specs: Specs, beside: Mapping[str, Any] | None = None) -> WeightFile:
    """Open a ``.h5`` file with or without the configuration of its model, or with one that stands `beside` it."""
    file = stack.enter_context(closing(Hdf5(path)))
    root = file.groups[""]
    text = root.get("model_config")
    prefix = "" if text is None else "model_weights/"
    left = [name for name in STATE if name in file.groups] + [name for name in ("training_config",) if name in root]
    tensors = _tensors(file, prefix)
    if text is None:
        places = bool(_PLACES & set(file.groups))
        own = partial(_by_place, tensors) if places else _by_names(file, "", tensors)
        layers, notes = ((), ()) if beside is None else layers_of(path, beside, specs, own)
        model = beside if places else None
        return WeightFile(path, "weights-only HDF5", tensors, layers, tuple(left), notes, file, model)
    text = base64.b64decode(text["bytes"]) if isinstance(text, dict) else text
    model = parse_json(path, text, "model_config")
    layers, notes = layers_of(path, model, specs, _by_names(file, prefix, tensors))
    return WeightFile(path, "Keras HDF5 model", tensors, layers, tuple(left), notes, file, model)


def read_keras(path: Path, stack: ExitStack, specs: Specs) -> WeightFile:
    """Open a ``.keras`` file, packed or as a folder; packed weights are copied to a private temporary folder."""
    with reading(path, "a .keras file"):
        if path.is_dir():
            members = {entry.name: entry for entry in path.iterdir()}
            texts = {name: members[name].read_bytes() for name in (CONFIG, METADATA) if name in members}
            copy = path / WEIGHTS
        else:
            members, texts, copy = _unpacked(path, stack)
        model = parse_json(path, texts[CONFIG], CONFIG)
    file = stack.enter_context(closing(Hdf5(copy, path)))
    left = [name for name in STATE if name in file.groups]
    left += ["compile_config"] if model.get("compile_config") else []
    left += sorted(name for name in members if name not in (CONFIG, WEIGHTS, METADATA))
    tensors = _tensors(file, "")
    layers, notes = layers_of(path, model, specs, partial(_by_place, tensors))
    return WeightFile(path, "Keras archive", tensors, layers, tuple(left), notes, (texts, file), model)


def _unpacked(path: Path, stack: ExitStack) -> tuple[dict[str, Any], dict[str, bytes], Path]:
    """Return the members of an archive, its texts, and a copy of its weights under a name of our own."""
    archive = stack.enter_context(zip_archive(path))
    members = _members(path, archive)
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise problem(path, "member", f"an archive without {name}", f"{CONFIG} and {WEIGHTS}")
    texts = {}
    for name in (CONFIG, METADATA):
        if name in members:
            check_text(path, name, members[name].file_size)
            texts[name] = archive.read(name)
    copy = stack.enter_context(scratch.folder()) / "weights.h5"
    with archive.open(members[WEIGHTS]) as stored, scratch.room(), copy.open("wb") as target:
        shutil.copyfileobj(stored, target, 1 << 20)
    return members, texts, copy


def _tensors(file: Hdf5, prefix: str) -> dict[str, Tensor]:
    """Return the weights by their path below `prefix`; training state is none of them."""
    inside = {
        name.removeprefix(prefix): tensor for name, (tensor, _) in file.datasets.items() if name.startswith(prefix)
    }
    return {name: replace(tensor, name=name) for name, tensor in inside.items() if name.split("/")[0] not in STATE}


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; refuse paths that lead out of the archive, duplicates, encryption and traps."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.rstrip("/")
        check_name(path, name)
        if name in members or info.flag_bits & 1:
            raise problem(path, "member", f"member {name!r} twice or encrypted", "each member once, not encrypted")
        check_size(path, name, info.file_size, info.compress_size)
        members[name] = info
    return members


Arrays = Callable[[Entry], tuple[list[Tensor], list[Tensor]]]
"""Entry -> what could be its kernel, and its bias."""


def layers_of(
    path: Path, model: Mapping[str, Any], specs: Specs, arrays: Arrays
) -> tuple[tuple[LocalLayer, ...], tuple[str, ...]]:
    """Return the locally connected layers of a configuration, with their arrays."""
    with reading(path, "the configuration of a Keras model"):
        found = config.read(model)
        layers = []
        for entry in found.entries:
            check_name(path, entry.name)
            kernel, bias = (_one(path, entry, *kind) for kind in zip(("kernel", "bias"), arrays(entry), strict=True))
            if kernel is None:
                raise problem(path, "weights", f"no kernel of layer {entry.name}", "the arrays of every layer")
            with about(path, entry.name):
                layers.append(local_layer(path, entry, kernel, bias, specs.get(entry.name)))
    return tuple(layers), tuple(found.notes)


def _one(path: Path, entry: Entry, kind: str, found: list[Tensor]) -> Tensor | None:
    if len(found) > 1:
        names = " and ".join(tensor.name for tensor in found)
        raise problem(path, "weights", f"{names}, each of which could be the {kind} of layer {entry.name}", "one")
    return found[0] if found else None


def _by_names(file: Hdf5, prefix: str, tensors: Mapping[str, Tensor]) -> Arrays:
    """Return the rule of ``.h5`` files: every group lists its arrays, in parts where they are many."""

    def arrays(entry: Entry) -> tuple[list[Tensor], list[Tensor]]:
        attributes = file.groups.get(f"{prefix}{entry.group}", {})
        texts = [attributes[part] for part in listing(attributes)]
        listed = [name for text in texts if isinstance(text, dict) for name in text.get("names", ())]
        return legacy_arrays(entry, tensors, listed)

    return arrays


def _by_place(tensors: Mapping[str, Tensor], entry: Entry) -> tuple[list[Tensor], list[Tensor]]:
    """Find arrays in a ``.keras`` file; Keras 2.12 called ``layers`` otherwise."""
    places = (entry.place, entry.place.replace("layers/", "_layer_checkpoint_dependencies/"))
    found = [place for place in places if f"{place}/vars/0" in tensors] or [entry.place]
    kernel, bias = ([tensors[name]] if (name := f"{found[0]}/vars/{n}") in tensors else [] for n in range(2))
    return kernel, bias
