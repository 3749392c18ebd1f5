"""HDF5 with h5py: hard links and stored numbers only, sizes checked before anything is allocated.

The HDF5 library can crash on a damaged file, so files that come from elsewhere are read in a process of their own,
`lcl_ref.files.hdf5.reader`; `lcl_ref.files.hdf5.process` talks to it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.errors import FileError, Violation
from lcl_ref.files import limits
from lcl_ref.files.untrusted import check_count, check_name, check_size, numeric, problem

DEEPEST = 64
"""Groups inside groups that are followed."""


@cache
def library() -> Any:
    """Return h5py, which only these formats need.

    Raises
    ------
    FileError
        If it is not installed.
    """
    try:
        import h5py  # noqa: PLC0415  an extra
    except ImportError as error:
        todo = "install lcl-ref[h5]"
        raise FileError(Violation("file/library", "h5py", "no module h5py", "it, to read HDF5", todo=todo)) from error
    return h5py


def walk(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """Yield all groups and datasets of a file, with their paths; refuse links out of it, and groups at two places."""
    return _Walk(path).below(file, "", 0)


class _Walk:
    """One way through a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._seen, self._count = path, set[int](), 0

    def below(self, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
        """Yield a group and what is below it."""
        h5py = library()
        address = h5py.h5o.get_info(group.id).addr
        if address in self._seen or depth > DEEPEST:
            expected = f"groups at one place each, at most {DEEPEST} deep"
            raise problem(self._path, "loop", f"group {prefix!r} again", expected)
        self._seen.add(address)
        yield prefix.rstrip("/"), group
        for name in group:
            self._count += 1
            check_count(self._path, self._count)
            full = check_name(self._path, f"{prefix}{name}")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                got = f"{full!r} is a {type(link).__name__}"
                raise problem(self._path, "link", got, "data stored in the file itself")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                yield from self.below(entry, f"{full}/", depth + 1)
            elif isinstance(entry, h5py.Dataset):
                _check_dataset(self._path, full, entry)
                yield full, entry
            else:
                raise problem(self._path, "type", f"{full!r} is a {type(entry).__name__}", "groups and datasets")


def _check_dataset(path: Path, name: str, dataset: Any) -> None:
    if dataset.external or dataset.is_virtual:
        raise problem(
            path, "link", f"dataset {name!r} keeps its data in another file", "data stored in the file itself"
        )
    if dataset.shape is None:
        raise problem(path, "shape", f"dataset {name!r} is empty", "an array")
    declared = numeric(path, name, dataset.dtype, dataset.shape)
    stored, size = dataset.id.get_storage_size(), path.stat().st_size
    packed = dataset.compression is not None or dataset.scaleoffset is not None
    if stored > size or (declared > stored and not packed):
        expected = f"the {stored} bytes stored for it, in a file of {size}"
        raise problem(path, "size", f"dataset {name!r} of {declared} bytes", expected)
    check_size(path, name, declared, stored)
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > limits.of(limits.MEMORY) // 2:
        todo = "write the file with smaller chunks"
        raise problem(path, "chunk", f"dataset {name!r} in chunks of {chunk} bytes", "chunks that fit in memory", todo)


def attributes(path: Path, node: Any) -> dict[str, Any]:
    """Return the attributes of a group or dataset as JSON-ready values; what is no text and no number is left out."""
    found = {}
    for name in node.attrs:
        check_count(path, math.prod(node.attrs.get_id(name).shape or ()))
        value = _plain(node.attrs[name])
        if value is not None:
            found[name] = value
    return found


def _plain(value: Any) -> Any:
    """Return text as it is, anything else as ``{kind: ...}``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    array = np.asarray(value)
    if array.dtype.kind in "SO" and all(isinstance(entry, str | bytes) for entry in array.flat):
        return {"names": [entry.decode() if isinstance(entry, bytes) else entry for entry in array.flat]}
    if array.dtype.kind in "biuf":
        return {"array": array.tolist(), "dtype": array.dtype.str}
    return None


def set_attributes(node: Any, values: Mapping[str, Any]) -> None:
    """Set what `attributes` returned."""
    for name, value in values.items():
        if isinstance(value, str):
            node.attrs[name] = value
        elif "bytes" in value:
            node.attrs[name] = np.bytes_(base64.b64decode(value["bytes"]))
        elif "names" in value:
            node.attrs.create(name, value["names"], dtype=library().string_dtype())
        else:
            node.attrs[name] = np.array(value["array"], value["dtype"])
