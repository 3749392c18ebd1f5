"""A copy of an old ``.h5`` file for Keras 3: another configuration, and arrays in the shapes that it now looks for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lcl_ref.files.keras import dialects
from lcl_ref.files.keras.old_arrays import CONVOLUTIONS, CUDNN, GATES, listing, modern_arrays

WEIGHTS = "model_weights"


def text_of(value: Any) -> str:
    """Return an attribute as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def changes_arrays(path: Path, found: Mapping[str, Any]) -> bool:
    """Return whether a file holds weights that Keras 3 would take for others, or has none where it looks."""
    import h5py

    with h5py.File(path) as file:
        return WEIGHTS not in file or bool(list(_stale(file[WEIGHTS], found)))


def rewrite_h5(path: Path, copy: Path, text: str, found: Mapping[str, Any]) -> None:
    """Write a copy of a file with configuration `text`, and with arrays as late Keras 2 has them.

    Parameters
    ----------
    found : mapping
        The configuration as it was.
    """
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        if WEIGHTS not in file:  # weights alone: the groups stand at the root
            _nest(file)
        file.attrs["model_config"] = text
        group = file[WEIGHTS]
        flags = {"first": _is_first(group, found), "theano": _is_theano(group)}
        for layer, held, names in list(_stale(group, found)):
            arrays = modern_arrays(layer, [held[name][()] for name in names], **flags)
            _replace(held, names, arrays)


def _nest(file: Any) -> None:
    inside = list(file)
    group = file.create_group(WEIGHTS)
    for name in inside:
        file.move(name, f"{WEIGHTS}/{name}")
    for key, value in file.attrs.items():
        group.attrs[key] = value


def _replace(held: Any, names: Sequence[str], arrays: Sequence[Any]) -> None:
    """Put new arrays in the place of a layer's old ones; there may be fewer."""
    for name in names:
        del held[name]
    for name, array in zip(names, arrays, strict=False):
        held[name] = array
    for name in listing(held.attrs):
        del held.attrs[name]
    held.attrs["weight_names"] = [name.encode() for name in names[: len(arrays)]]


def _stale(group: Any, found: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any, list[str]]]:
    """Yield the outermost layers whose arrays must change: their entry, their group, and the names of the arrays.

    Raises
    ------
    ValueError
        If such a layer is inside a nested model, whose arrays stand in one list.
    """
    old = _is_first(group, found) or _is_theano(group)
    for layer in dialects.layers_of(dialects.readable(found)):
        name = str(layer["config"].get("name") or layer.get("name"))
        if name not in group:
            continue
        concerned = [kind for kind in _classes(layer) if kind in CUDNN or (old and kind in {*CONVOLUTIONS, *GATES})]
        if concerned and layer["class_name"] in dialects.MODELS:
            got = f"{name} is a model inside the model, and Keras 3 does not read the arrays of its {concerned[0]}"
            raise ValueError(f"{got}. Save the parts as files of their own, with the Keras that wrote it.")
        names = [text_of(entry) for part in listing(group[name].attrs) for entry in group[name].attrs[part]]
        if concerned and names:
            yield layer, group[name], names


def _classes(entry: Any) -> Iterator[str]:
    """Yield the class of an entry, and of what it wraps or holds."""
    yield entry["class_name"]
    config = entry["config"]
    for inner in [*config.get("layers", ()), config.get("layer")]:
        if isinstance(inner, Mapping) and isinstance(inner.get("config"), Mapping):
            yield from _classes(inner)


def _is_first(group: Any, found: Mapping[str, Any]) -> bool:
    """Return whether Keras 1 wrote the weights: it did not write its version beside them."""
    version = text_of(group.attrs.get("keras_version", group.parent.attrs.get("keras_version", b"1")))
    return version.startswith("1") or dialects.is_first(found)


def _is_theano(group: Any) -> bool:
    return text_of(group.attrs.get("backend", b"")) == "theano"
