"""Reading HDF5 with h5py: hard links and stored numbers only, sizes checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

from lcl_ref.errors import FileError, Violation
from lcl_ref.files.guard import check_name, check_size, numeric, problem, reading
from lcl_ref.files.model import Array, Tensor

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
        import h5py  # type: ignore[import-untyped]  # noqa: PLC0415  an extra; it carries no types
    except ImportError as error:
        todo = "install lcl-ref[h5]"
        raise FileError(Violation("file/library", "h5py", "no module h5py", "it, to read HDF5", todo=todo)) from error
    return h5py


def open_file(path: Path, stack: ExitStack, named: Path | None = None) -> Any:
    """Open an HDF5 file until `stack` closes; `named` is the file to blame where `path` is a copy."""
    blamed = named or path
    with reading(blamed, "an HDF5 file"):
        return stack.enter_context(library().File(path, "r"))


def walk(path: Path, group: Any, prefix: str = "", seen: frozenset[Any] = frozenset()) -> Iterator[Tensor]:
    """Yield the datasets below `group`, by their path below it."""
    h5py = library()
    address = h5py.h5o.get_info(group.id).addr
    if address in seen or len(seen) > DEEPEST:
        raise problem(path, "loop", f"group {prefix!r} inside itself", f"groups at most {DEEPEST} deep")
    for name in group:
        full = check_name(path, f"{prefix}{name}")
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise problem(path, "link", f"{full!r} is a {type(link).__name__}", "data stored in the file itself")
        entry = group[name]
        if isinstance(entry, h5py.Group):
            yield from walk(path, entry, f"{full}/", seen | {address})
        elif isinstance(entry, h5py.Dataset):
            yield _tensor(path, full, entry)
        else:
            raise problem(path, "type", f"{full!r} is a {type(entry).__name__}", "groups and datasets")


def _tensor(path: Path, name: str, dataset: Any) -> Tensor:
    if dataset.external or dataset.is_virtual:
        raise problem(
            path, "link", f"dataset {name!r} keeps its data in another file", "data stored in the file itself"
        )
    if dataset.shape is None:
        raise problem(path, "shape", f"dataset {name!r} is empty", "an array")
    declared = numeric(path, name, dataset.dtype, dataset.shape)
    stored = dataset.id.get_storage_size()
    if stored > path.stat().st_size:
        raise problem(path, "size", f"dataset {name!r} stored in {stored} bytes", f"at most {path.stat().st_size}")
    packed = dataset.compression is not None or dataset.scaleoffset is not None
    if declared > stored and not packed:
        raise problem(path, "size", f"dataset {name!r} of {declared} bytes", f"the {stored} bytes stored for it")
    check_size(path, name, declared, stored)
    return Tensor(name, dataset.shape, dataset.dtype, partial(_read, path, name, dataset))


def _read(path: Path, name: str, dataset: Any) -> Array:
    with reading(path, f"dataset {name!r}"):
        array: Array = dataset[()]
        return array


def attribute(path: Path, group: Any, name: str) -> Any:
    """Return an attribute, text as str, or None where there is none."""
    with reading(path, f"attribute {name!r}"):
        if name not in group.attrs:
            return None
        value = group.attrs[name]
        return value.decode() if isinstance(value, bytes) else value
