"""Opening a weight file of any format, and finding the locally connected layers in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from lcl_ref import layouts
from lcl_ref.files import specs
from lcl_ref.files.contents import LocalLayer, WeightFile
from lcl_ref.files.darknet import weights as darknet
from lcl_ref.files.describing.owners import BIASES, WEIGHTS, by_owner
from lcl_ref.files.keras.network import network_of
from lcl_ref.files.keras.reading import read_h5, read_keras
from lcl_ref.files.named_arrays import read_npz, read_safetensors
from lcl_ref.files.recognising import kind_of, refused
from lcl_ref.files.specs import Given
from lcl_ref.files.tensorflow import folders, tfjs
from lcl_ref.files.torch.reading import read as read_torch
from lcl_ref.files.untrusted import about, check_total, problem


@contextmanager
def open_weights(path: Path, spec: Path | None = None, layer: str = "", layout: str = "") -> Iterator[WeightFile]:
    """Open a weight file for reading.

    Parameters
    ----------
    path : Path
        A file or folder of any kind that `lcl_ref.files` names; the content tells which it is, then the suffix.
    spec : Path, optional
        A specification (`lcl_ref.files.specs`), for files that do not describe their layers; for weights-only ``.h5``
        the model's ``to_json``, too; for ``.weights`` the network's ``.cfg``. Without it, the document beside the file
        is read where there is one.
    layer : str
        The layer that a single specification is for.
    layout : str
        The layout that the arrays of a single specification are in.

    Raises
    ------
    FileError
        If the file is missing, damaged, of an unknown format, or does not tell what is asked.
    """
    kind = kind_of(path)
    with ExitStack() as stack:
        document = spec if spec is not None or not specs.beside(path).is_file() else specs.beside(path)
        if kind == "darknet":
            yield darknet.read(path, document)
            return
        if kind not in (*_PLAIN, *_KERAS):
            raise refused(path, kind)
        given = Given() if document is None else specs.read(document)
        file = _read(path, kind, stack, given, layer)
        check_total(path, [tensor.nbytes for tensor in file.tensors.values()])
        described = _described(file, given, layer, layout)
        model = given.model or file.config
        yield replace(described, network=given.network if model is None else network_of(described, model))


_PLAIN = {"safetensors": read_safetensors, "npz": read_npz, "torch": read_torch}
"""Kind of file -> its reader; these hold named arrays alone."""

_KERAS = ("hdf5", "keras", "keras_folder", "tfjs", "saved_model", "checkpoint")


def _read(path: Path, kind: str, stack: ExitStack, given: Given, layer: str) -> WeightFile:
    if kind in _PLAIN:
        return _PLAIN[kind](path, stack)
    known = {found.name: found.spec for found in given.layers}
    if given.alone is not None and layer:
        known[layer] = given.alone
    if kind == "tfjs":
        return tfjs.read(path, known)
    if kind in ("saved_model", "checkpoint"):
        return folders.read(path, kind, known, given.model)
    return read_h5(path, stack, known, given.model) if kind == "hdf5" else read_keras(path, stack, known)


def _described(file: WeightFile, given: Given, layer: str, layout: str) -> WeightFile:
    """Return the file with the layers that its configuration, or else a specification, describes."""
    if file.config is not None or given.model is not None:
        return file
    if given.alone is not None:
        return replace(file, layers=(_single(file, given, layer, layout),))
    for found in given.layers:
        for name in filter(None, (found.weight, found.bias)):
            if name not in file.tensors:
                raise problem(
                    file.path, "array", f"no array {name!r} of layer {found.name}", "the arrays of its layers"
                )
    return replace(file, layers=given.layers)


def _single(file: WeightFile, given: Given, layer: str, layout: str) -> LocalLayer:
    """Return the layer that one `Spec` describes: its arrays are found by name, never by shape."""
    assert given.alone is not None
    weights, biases = by_owner(file.tensors, WEIGHTS), by_owner(file.tensors, BIASES)
    owners = [name for name in weights if layer in ("", name, name.split("/")[-1])]
    if len(owners) != 1:
        got = f"{len(owners)} layers with a weight" + (f" called {layer!r}" if layer else "")
        names = ", ".join(sorted(weights)) or "none"
        raise problem(file.path, "layer", got, f"one (there are: {names})", "name it with --layer")
    weight = _the_one(file, owners[0], weights[owners[0]])
    if not layout:
        tensor = file.tensors[weight]
        with about(file.path, owners[0] or "layer"):
            fits = layouts.fitting(given.alone, tensor.shape)
        shape = f"{tensor.name} has shape {tensor.shape}"
        todo = f"name it with --from: {shape}, that of {', '.join(fits)}, and the array cannot tell" if fits else ""
        expected = "a layout" if fits else f"a layout; {shape}, which none has for this layer"
        raise problem(file.path, "layout", "arrays without a description", expected, todo)
    named = biases.get(owners[0], [])
    bias = "" if given.alone.bias == "none" or not named else _the_one(file, owners[0], named)
    return LocalLayer(owners[0] or "layer", "", given.alone, layout, weight, bias)


def _the_one(file: WeightFile, owner: str, names: list[str]) -> str:
    """Return the one array of a layer; several that could be it are an error, since nothing tells which."""
    if len(names) > 1:
        todo = "name them in a document of its layers, given with --spec"
        raise problem(file.path, "array", f"{' and '.join(names)} of layer {owner or 'layer'}", "one array", todo)
    return names[0]
