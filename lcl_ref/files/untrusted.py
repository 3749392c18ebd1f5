"""What is refused in a file that may be damaged or hostile: every broken rule becomes one `FileError`.

Sizes that a header declares are compared with the bytes that are there before anything of that size is allocated, names
are checked before they are used as paths inside another file, and nothing is ever unpacked to a path taken from a file.
"""

from __future__ import annotations

import json
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.errors import FileError, LayoutError, LclError, ShapeError, SpecError, Violation

_BROKEN = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the readers of damaged files raise; RecursionError and NotImplementedError are RuntimeErrors."""

MOST_EXPANSION = 200
"""Times that stored bytes may grow when unpacked: trained weights hardly shrink; more is a lie or a trap."""

LARGE = 1 << 26
"""Bytes below which an expansion is not looked at."""


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
    except _BROKEN as error:
        said = str(error).strip().splitlines() or [""]
        got = f"{type(error).__name__} {said[0][:200]}".strip()
        raise problem(path, "damaged", got, f"{what}, whole and undamaged") from error


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
    if not name or "\0" in name or not name.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise problem(path, "name", f"the name {name!r}", "printable names without empty parts, '.' and '..'")
    return name


def check_size(path: Path, name: str, declared: int, stored: int) -> None:
    """Refuse an array whose declared size cannot come from the bytes stored for it."""
    if declared > stored and (stored == 0 or declared > max(LARGE, MOST_EXPANSION * stored)):
        expected = f"at most {MOST_EXPANSION} times the {stored} bytes stored for it"
        raise problem(path, "size", f"array {name!r} of {declared} bytes", expected)


def numeric(path: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Return the bytes of an array; refuse one that is not of plain numbers."""
    plain = dtype.kind in "biufc" or (dtype.kind == "V" and dtype.type is not np.void)  # V: the types of ml_dtypes
    if not plain:
        raise problem(path, "dtype", f"array {name!r} of dtype {dtype}", "plain numbers; objects are never loaded")
    return math.prod(shape) * dtype.itemsize


def parse_json(path: Path, text: str | bytes, what: str) -> dict[str, Any]:
    """Return a JSON object of the file."""
    with reading(path, what):
        value = json.loads(text)
    if not isinstance(value, Mapping):
        raise problem(path, "json", f"{what} that is a {type(value).__name__}", "a JSON object")
    return dict(value)
