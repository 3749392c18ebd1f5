"""Reading files of named arrays: ``.safetensors`` and ``.npz``."""

from __future__ import annotations

import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
import safetensors
from numpy.lib import format as npy

from lcl_ref.files.contents import Array, Tensor, WeightFile
from lcl_ref.files.untrusted import (
    check_count,
    check_name,
    check_size,
    check_text,
    numeric,
    problem,
    reading,
    zip_archive,
)

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "C64": np.dtype(np.complex64),
} | {
    f"{kind}{bits}": np.dtype(f"{word}{bits}")
    for kind, word in (("I", "int"), ("U", "uint"))
    for bits in (8, 16, 32, 64)
}
DTYPES |= {f"F{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)}
"""Dtypes of a safetensors header."""


def read_safetensors(path: Path, stack: ExitStack) -> WeightFile:
    """Open a ``.safetensors`` file; the library checks its header against its length."""
    with reading(path, "a safetensors file"):
        with path.open("rb") as start:
            check_text(path, "a header", int.from_bytes(start.read(8), "little"))
        try:
            file = stack.enter_context(safetensors.safe_open(path, framework="numpy"))
        except safetensors.SafetensorError as error:
            raise problem(path, "damaged", str(error), "a safetensors file, whole and undamaged") from error
        tensors = {}
        names = file.keys()
        check_count(path, len(names))
        for name in names:
            check_name(path, name)
            part = file.get_slice(name)
            if part.get_dtype() not in DTYPES:
                raise problem(path, "dtype", f"array {name!r} of dtype {part.get_dtype()}", ", ".join(DTYPES))
            read = partial(_read_safetensors, path, name)
            tensors[name] = Tensor(name, tuple(part.get_shape()), DTYPES[part.get_dtype()], read)
    return WeightFile(path, "safetensors", tensors)


def _read_safetensors(path: Path, name: str) -> Array:
    """Open the file anew: what is mapped of it counts as memory for as long as it is open."""
    with reading(path, f"array {name!r}"), safetensors.safe_open(path, framework="numpy") as file:
        array: Array = file.get_tensor(name)
        return array


def read_npz(path: Path, stack: ExitStack) -> WeightFile:
    """Open a ``.npz`` file; headers are read first, and an array that needs pickle is refused."""
    with reading(path, "a .npz archive"):
        archive = stack.enter_context(zip_archive(path))
        tensors: dict[str, Tensor] = {}
        for info in archive.infolist():
            name = check_name(path, info.filename.removesuffix(".npy"))
            if not info.filename.endswith(".npy") or name in tensors or info.flag_bits & 1:
                raise problem(path, "member", f"member {info.filename!r}", "one .npy member per array, not encrypted")
            tensors[name] = _npz_tensor(path, archive, info, name)
    return WeightFile(path, "NumPy archive", tensors)


def _npz_tensor(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Tensor:
    with archive.open(info) as member:
        shape, dtype = _npy_header(member)
        header = member.tell()
    declared = numeric(path, name, dtype, shape)
    if min((0, *shape)) < 0 or declared != info.file_size - header:
        raise problem(path, "size", f"array {name!r} of {declared} bytes", f"{info.file_size - header} bytes")
    check_size(path, name, info.file_size, info.compress_size)
    return Tensor(name, shape, dtype, partial(_read_npz, path, archive, info))


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(member)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    shape, _, dtype = read(member)
    return shape, dtype


def _read_npz(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with reading(path, f"array {info.filename!r}"), archive.open(info) as member:
        array: Array = npy.read_array(member, allow_pickle=False)
        member.read()  # to the end, so that the checksum is compared
        return array
