"""Writing weight files array by array, to a temporary file that takes the place of the target when all is written."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from lcl_ref.errors import LclError
from lcl_ref.files.contents import Array
from lcl_ref.files.named_arrays import DTYPES
from lcl_ref.files.untrusted import problem
from lcl_ref.outside import writing
from lcl_ref.outside.text import shown

_SHORT = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Planned:
    """One array to be written: its form is known before it is read and converted."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    produce: Callable[[], Array]


@contextmanager
def replacing(*targets: Path) -> Iterator[list[Path]]:
    """Yield a temporary path per target (`lcl_ref.outside.writing.replacing`); put in words what a format refuses."""
    with writing.replacing(*targets) as temporary:
        try:
            yield temporary
        except (LclError, OSError):
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            got = f"{type(error).__name__} {shown(error)}"
            raise problem(targets[0], "write", got, "a format that can take the arrays") from error


def write_safetensors(path: Path, arrays: Sequence[Planned]) -> None:
    """Write a ``.safetensors`` file: the header first, then one array after the other."""
    header: dict[str, Any] = {}
    place = 0
    # Widest dtypes first, so that every array is aligned; names settle the rest.
    ordered = sorted(arrays, key=lambda array: (-array.dtype.itemsize, array.name))
    for array in ordered:
        if array.dtype not in _SHORT:
            raise problem(path, "dtype", f"array {array.name!r} of dtype {array.dtype}", ", ".join(DTYPES))
        size = int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
        offsets = [place, place + size]
        header[array.name] = {"dtype": _SHORT[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        place += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in ordered:
            _write_bytes(file, checked(array))


def _write_bytes(file: IO[bytes], array: Array) -> None:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    np.ascontiguousarray(little).tofile(file) if little.dtype.kind != "V" else file.write(little.tobytes())


def write_npz(path: Path, arrays: Sequence[Planned]) -> None:
    """Write a ``.npz`` file, uncompressed, one array after the other."""
    with zipfile.ZipFile(path, "w") as archive:
        for array in arrays:
            if array.dtype.kind == "V":
                got = f"array {array.name!r} of dtype {array.dtype}"
                raise problem(path, "dtype", got, "a dtype of NumPy's own in a .npz file", "write a .safetensors file")
            member = zipfile.ZipInfo(f"{array.name}.npy")
            with archive.open(member, "w", force_zip64=True) as file:
                npy.write_array(file, checked(array), allow_pickle=False)


def checked(array: Planned) -> Array:
    """Return a planned array; its form must be the planned one."""
    values = array.produce()
    assert (values.shape, values.dtype) == (array.shape, array.dtype), array.name
    return values
