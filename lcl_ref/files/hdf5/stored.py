"""HDF5 with h5py: hard links and stored numbers only, sizes checked before anything is allocated.

The HDF5 library can crash on a damaged file, so files that come from elsewhere are read in a process of their own,
`lcl_ref.files.hdf5.reader`; `lcl_ref.files.hdf5.process` talks to it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.errors import FileError, Violation
from lcl_ref.files.untrusted import check_name, check_size, numeric, problem

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


def walk(path: Path, group: Any, prefix: str = "", seen: frozenset[Any] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Yield `group` and all groups and datasets below it, with their paths; refuse links out of the file."""
    h5py = library()
    address = h5py.h5o.get_info(group.id).addr
    if address in seen or len(seen) > DEEPEST:
        raise problem(path, "loop", f"group {prefix!r} inside itself", f"groups at most {DEEPEST} deep")
    yield prefix.rstrip("/"), group
    for name in group:
        full = check_name(path, f"{prefix}{name}")
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise problem(path, "link", f"{full!r} is a {type(link).__name__}", "data stored in the file itself")
        entry = group[name]
        if isinstance(entry, h5py.Group):
            yield from walk(path, entry, f"{full}/", seen | {address})
        elif isinstance(entry, h5py.Dataset):
            _check_dataset(path, full, entry)
            yield full, entry
        else:
            raise problem(path, "type", f"{full!r} is a {type(entry).__name__}", "groups and datasets")


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


def attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a group or dataset as JSON-ready values; what is no text and no number is left out."""
    found = {}
    for name in node.attrs:
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
