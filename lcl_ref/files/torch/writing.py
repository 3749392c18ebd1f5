"""Writing a PyTorch ``state_dict`` without torch, as ``torch.load(..., weights_only=True)`` reads it."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lcl_ref.files.torch.reading import DTYPES
from lcl_ref.files.untrusted import problem
from lcl_ref.files.writing import Planned, checked

_STORAGE = {
    "bool": "Bool",
    "half": "Half",
    "float": "Float",
    "double": "Double",
    "bfloat16": "BFloat16",
    "byte": "Byte",
    "char": "Char",
    "short": "Short",
    "int": "Int",
    "long": "Long",
    "complexfloat": "ComplexFloat",
    "complexdouble": "ComplexDouble",
}
_NAMES = {DTYPES[kind]: f"{name}Storage" for kind, name in _STORAGE.items()}
"""Dtype -> class of a torch storage."""

MARK, TUPLE, REDUCE, NO_HOOKS = b"(", b"t", b"R", b"ccollections\nOrderedDict\n)R"


def write(path: Path, target: Path, arrays: Sequence[Planned]) -> None:
    """Write arrays under their names, one after the other.

    Parameters
    ----------
    path, target : Path
        Where it is written, and how it will be called.
    """
    for array in arrays:
        if array.dtype not in _NAMES:
            todo = "write a .safetensors file"
            raise problem(target, "dtype", f"array {array.name!r} of dtype {array.dtype}", ", ".join(_STORAGE), todo)
    entries = b"".join(_text(array.name) + _tensor(str(key), array) for key, array in enumerate(arrays))
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "data.pkl", b"\x80\x02" + NO_HOOKS + MARK + entries + b"u.")
        _add(archive, "byteorder", b"little")
        for key, array in enumerate(arrays):
            values = checked(array)
            little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
            _add(archive, f"data/{key}", little.reshape(-1).view(np.uint8).data)
        _add(archive, "version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
    with archive.open(zipfile.ZipInfo(f"archive/{name}"), "w", force_zip64=True) as file:
        file.write(data)


def _tensor(key: str, array: Planned) -> bytes:
    """Return the pickled tensor: a view of all of its storage."""
    shape = array.shape
    stride = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    kind = f"ctorch\n{_NAMES[array.dtype]}\n".encode()
    storage = MARK + _text("storage") + kind + _text(key) + _text("cpu") + _number(math.prod(shape)) + TUPLE + b"Q"
    view = _number(0) + _numbers(shape) + _numbers(stride) + b"\x89" + NO_HOOKS
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + MARK + storage + view + TUPLE + REDUCE


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _number(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _numbers(values: Sequence[int]) -> bytes:
    return MARK + b"".join(map(_number, values)) + TUPLE
