"""Darknet ``.weights``: a header and raw little-endian float32; a ``.cfg`` file or a specification tells of what."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from lcl_ref.files import darknet_cfg, specs
from lcl_ref.files.contents import Array, LocalLayer, Tensor, WeightFile
from lcl_ref.files.darknet_cfg import Section
from lcl_ref.files.untrusted import check_regular, check_text, problem, reading

FLOAT = np.dtype("<f4")
HEADER = struct.pack("<iiiQ", 0, 2, 0, 0)
"""Major, minor and revision of the format, and how many images were seen in training."""


def read(path: Path, given: Path | None) -> WeightFile:
    """Open a ``.weights`` file.

    Parameters
    ----------
    given : Path or None
        The ``.cfg`` file of the network, or a specification document that lists the ``[local]`` layers of a file that
        holds nothing else, in its order.
    """
    if given is None:
        todo = "give the network's .cfg file, or a document that lists the layers, with --spec"
        raise problem(path, "spec", "no description of its layers", "a .weights file holds numbers only", todo)
    with reading(given, "a darknet .cfg file or a specification document"):
        sections = _sections(given)
    with reading(path, "a darknet .weights file"):
        tensors = _tensors(path, sections)
    layers = tuple(_layer(section) for section in sections if section.spec is not None)
    return WeightFile(path, "darknet weights", tensors, layers, handle=path)


def _sections(given: Path) -> list[Section]:
    if given.suffix == ".cfg":
        check_regular(given)
        check_text(given, "a .cfg file", given.stat().st_size)
        return darknet_cfg.parse(given, given.read_text())
    document = specs.read(given)
    if document.alone is not None:
        layers = [("local_0", document.alone, "")]
    else:
        layers = [(layer.name, layer.spec, layer.settings.get("activation", "")) for layer in document.layers]
    return [
        Section(
            name, [("biases", (math.prod(spec.y_shape(1)),)), ("weights", (math.prod(spec.weight_shape),))], spec, word
        )
        for name, spec, word in layers
    ]


def _layer(section: Section) -> LocalLayer:
    assert section.spec is not None
    settings = {"activation": section.activation} if section.activation else {}
    weight, bias = f"{section.name}/weights", f"{section.name}/biases"
    return LocalLayer(section.name, "local", section.spec, "darknet", weight, bias, settings)


def header(path: Path) -> bytes:
    """Return the header of a file: the count of seen images takes 8 bytes from version 0.2 on, 4 before."""
    with path.open("rb") as file:
        first = file.read(20)
    major, minor, _ = struct.unpack("<iii", first[:12])
    if not (0 <= major < 1000 and 0 <= minor < 1000):
        raise problem(path, "version", f"version {major}.{minor}", "a darknet header, not of a transposed network")
    return first[: 20 if major * 10 + minor >= 2 else 16]


def _tensors(path: Path, sections: Sequence[Section]) -> dict[str, Tensor]:
    """Return the arrays in the order of the file; its length must be just theirs."""
    start = place = len(header(path))
    tensors = {}
    for section in sections:
        for name, shape in section.arrays:
            full = f"{section.name}/{name}"
            tensors[full] = Tensor(full, shape, FLOAT, partial(_read, path, full, place, shape))
            place += tensors[full].nbytes
    size = path.stat().st_size
    if size != place:
        expected = f"{place} = {start} + 4*{(place - start) // 4} numbers of {len(sections)} layers"
        raise problem(path, "size", f"{size} bytes", expected)
    return tensors


def _read(path: Path, name: str, place: int, shape: tuple[int, ...]) -> Array:
    with reading(path, f"array {name!r}"):
        return np.fromfile(path, FLOAT, math.prod(shape), offset=place).reshape(shape)


def write(target: Path, arrays: Iterable[Array], head: bytes = HEADER) -> None:
    """Write arrays, in order, behind a header."""
    with target.open("wb") as file:
        file.write(head)
        for array in arrays:
            np.ascontiguousarray(array, FLOAT).tofile(file)
