"""What is refused in a file that may be damaged or hostile: every broken rule becomes one `FileError`.

Sizes that a header declares are compared with the bytes that are there before anything of that size is allocated, names
are checked before they are used as paths inside another file, and nothing is ever unpacked to a path taken from a file.
"""

from __future__ import annotations

import errno
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.errors import FileError, LayoutError, LclError, ShapeError, SpecError, Violation
from lcl_ref.files import limits
from lcl_ref.outside.documents import parsed
from lcl_ref.outside.text import shown, worded
from lcl_ref.outside.writing import FULL

_BROKEN = (
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers of damaged files raise; RecursionError and NotImplementedError are RuntimeErrors."""

LONGEST_NAME = 1000

_RAISE = "if you know where the file comes from, raise the limits: --limits 10"


_OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EISDIR),
    *FULL,
}
"""Errors that are no sign of a damaged file."""


def problem(path: Path, rule: str, got: str, expected: str, todo: str = "") -> FileError:
    """Return the error for a file that breaks `rule`."""
    return FileError(Violation(f"file/{rule}", path.name, got, expected, todo=todo))


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into a `FileError` that says what was being read."""
    try:
        yield
    except LclError:
        raise
    except MemoryError as error:
        raise problem(path, "memory", "no memory left", f"{what} that fits into it", _RAISE) from error
    except OSError as error:
        if error.errno in _OF_THE_SYSTEM:
            got = f"{error.strerror}" + (f" ({error.filename})" if error.filename else "")
            raise problem(path, "system", shown(got), f"{what} that can be read") from error
        raise _damaged(path, what, error) from error
    except _BROKEN as error:
        raise _damaged(path, what, error) from error


def _damaged(path: Path, what: str, error: Exception) -> FileError:
    said = worded(error).strip().splitlines() or [""]
    got = f"{type(error).__name__} {shown(said[0], 200)}".strip()
    return problem(path, "damaged", got, f"{what}, whole and undamaged")


@contextmanager
def about(path: Path, layer: str) -> Iterator[None]:
    """Put file and layer in front of what is wrong with a specification or its arrays."""
    try:
        yield
    except (LayoutError, SpecError, ShapeError) as error:
        raise type(error)(error.violations, f"{path.name}, layer {layer}") from error


def check_name(path: Path, name: str) -> str:
    """Return a name; refuse one that could lead somewhere else when used as a path, or play with a terminal."""
    parts = name.replace("\\", "/").split("/")
    plain = 0 < len(name) <= LONGEST_NAME and name.isprintable()
    if not plain or any(part in ("", ".", "..") for part in parts):
        expected = f"printable names without empty parts, '.' and '..', of at most {LONGEST_NAME} characters"
        raise problem(path, "name", f"the name {shown(name, 80)!r}", expected)
    return name


def check_size(path: Path, name: str, declared: int, stored: int) -> None:
    """Refuse an array whose declared size cannot come from the bytes stored for it."""
    if declared > stored and (stored == 0 or declared > most_unpacked(stored)):
        expected = f"at most {limits.of(limits.EXPANSION)} times the {stored} bytes stored for it"
        raise problem(path, "size", f"array {name!r} of {declared} bytes", expected, _RAISE)


def most_unpacked(stored: int) -> int:
    """Return how many bytes may come of so many that are stored."""
    return max(limits.of(limits.SMALL), limits.of(limits.EXPANSION) * stored)


def check_total(path: Path, sizes: Collection[int]) -> None:
    """Refuse arrays that are too many, or that together are too large to come from their file."""
    check_count(path, len(sizes))
    total, size = sum(sizes), path.stat().st_size
    if total > most_unpacked(size):
        expected = f"at most {limits.of(limits.EXPANSION)} times the {size} bytes of the file"
        raise problem(path, "total", f"{len(sizes)} arrays of {total} bytes together", expected, _RAISE)


def check_count(path: Path, count: int) -> None:
    """Refuse more arrays and groups than a model has."""
    if count > limits.of(limits.ENTRIES):
        raise problem(path, "count", f"{count} arrays or groups", f"at most {limits.of(limits.ENTRIES)}", _RAISE)


def check_regular(path: Path) -> None:
    """Refuse a pipe or a device, which may have no end."""
    if path.exists() and not path.is_file():
        raise problem(path, "missing", "no regular file", "a file")


def check_text(path: Path, what: str, size: int, most: int = limits.TEXT) -> None:
    """Refuse a text of the file (its configuration, a header) that is too long to be one."""
    if size > limits.of(most):
        raise problem(path, "text", f"{what} of {size} bytes", f"at most {limits.of(most)} bytes", _RAISE)


@contextmanager
def zip_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose table of contents is no longer than that of a model."""
    check_text(path, "a table of contents", _directory_size(path))
    with zipfile.ZipFile(path) as archive:
        check_count(path, len(archive.infolist()))
        yield archive


def _directory_size(path: Path) -> int:
    """Return the bytes of an archive's table of contents as its last record says, which has a fixed form."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _END_BYTES), 2)
        tail = file.read()
    long = tail.rfind(b"PK\6\6")  # of archives with more or larger members than the old form can say
    if long >= 0:
        return int.from_bytes(tail[long + 40 : long + 48], "little")
    short = tail.rfind(b"PK\5\6")
    return int.from_bytes(tail[short + 12 : short + 16], "little") if short >= 0 else 0


_END_BYTES = (1 << 16) + 200
"""Length of the last records with the longest comment."""


MOST_VALUES = 1 << 20
"""Values in the description of a model; a layer has some fifty."""


def numeric(path: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Return the bytes of an array; refuse one that is not of plain numbers."""
    plain = dtype.kind in "biufc" or (dtype.kind == "V" and dtype.type is not np.void)  # V: the types of ml_dtypes
    if not plain:
        raise problem(path, "dtype", f"array {name!r} of dtype {dtype}", "plain numbers; objects are never loaded")
    return math.prod(shape) * dtype.itemsize


def parse_json(path: Path, text: str | bytes, what: str) -> dict[str, Any]:
    """Return a JSON object of the file."""
    check_text(path, what, len(text))
    with reading(path, what):
        value = parsed(text, len(text), MOST_VALUES)
    if not isinstance(value, Mapping):
        raise problem(path, "json", f"{what} that is a {type(value).__name__}", "a JSON object")
    return dict(value)
