"""Arrays on their way to and from another program: ``.safetensors`` files, or base64 inside a JSON line."""

from __future__ import annotations

import base64
import binascii
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from lcl_ref.errors import FixtureError
from lcl_ref.outside.text import shown
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden.store import parse_tensors
from lcl_ref.suite.judge.compare import Malformed

Array = NDArray[Any]
Form = tuple[tuple[int, ...], str]
"""Shape and dtype name."""

NAMES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
"""Dtype -> its name inside a safetensors file, used inline too."""
_DTYPES = {short: FORMATS[name].dtype for name, short in NAMES.items()}

HEADER_BYTES = 1 << 16
"""How much longer than its arrays a file may be."""


def write_file(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays as one safetensors file."""
    path.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def read_file(path: Path, forms: Mapping[str, Form]) -> dict[str, Array]:
    """Return the arrays of a file that should hold just `forms`.

    Raises
    ------
    Malformed
        If there is no regular file of that name, it is far too long for the arrays, or it is no safetensors file.
    """
    try:
        facts = path.lstat()
    except OSError as error:
        raise Malformed(f"results: no file {path.name} in the folder of the program ({error.strerror})") from error
    if not stat.S_ISREG(facts.st_mode):
        raise Malformed(f"results: {path.name} is a {_kind(facts.st_mode)}, expected a regular file")
    most = HEADER_BYTES + sum(_bytes_of(form) for form in forms.values())
    if facts.st_size > most:
        raise Malformed(f"results: {path.name} has {facts.st_size} bytes, expected at most {most}")
    try:
        return parse_tensors(path.read_bytes(), path.name)
    except FixtureError as error:
        raise Malformed(f"results: {path.name}: {error.got}, expected {error.expected}") from error
    except OSError as error:
        raise Malformed(f"results: {path.name} cannot be read ({error.strerror})") from error


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "symbolic link", stat.S_IFDIR: "directory", stat.S_IFIFO: "pipe"}
    return kinds.get(stat.S_IFMT(mode), "special file")


def _bytes_of(form: Form) -> int:
    shape, dtype = form
    return math.prod(shape) * FORMATS[dtype].dtype.itemsize


def encode(array: Array) -> dict[str, Any]:
    """Return an array as the JSON form of the protocol."""
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {"dtype": NAMES[str(array.dtype)], "shape": list(array.shape), "data": data}


def decode(name: str, tensor: Mapping[str, Any]) -> Array:
    """Return the array of one JSON form.

    Raises
    ------
    Malformed
        If the text is no base64, or its length does not fit shape and dtype.
    """
    dtype, shape = _DTYPES[tensor["dtype"]], tuple(tensor["shape"])
    try:
        data = base64.b64decode(tensor["data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"{name}: data is not base64 ({error})") from error
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        arithmetic = shown(f"{' * '.join(map(str, shape)) or 1} elements of {dtype.itemsize} bytes", 80)
        raise Malformed(f"{name}: data of {len(data)} bytes, expected {shown(expected, 40)} ({arithmetic})")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:
        raise Malformed(f"{name}: got shape {shown(shape, 80)}, expected one that an array can have") from error


def check_forms(arrays: Mapping[str, Array], forms: Mapping[str, Form]) -> None:
    """Compare names, shapes and dtypes with those asked for.

    Raises
    ------
    Malformed
        At the first that differs.
    """
    if arrays.keys() != forms.keys():
        raise Malformed(f"results: got {_listed(arrays)}, expected {_listed(forms)}")
    for name, (shape, dtype) in forms.items():
        got = arrays[name]
        if got.shape != shape:
            raise Malformed(f"{name}: got shape {got.shape}, expected {shape}")
        if str(got.dtype) != dtype:
            raise Malformed(f"{name}: got dtype {got.dtype}, expected {dtype}")


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "nothing"
