"""Golden data in other containers, one file per case, for readers that prefer them (``lcl export``)."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from lcl_ref.outside.documents import read
from lcl_ref.outside.writing import check_folder, write_folder
from lcl_ref.suite.golden.store import INDEX, Store

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Entry = dict[str, Any]


def as_npz(entry: Entry, arrays: Arrays) -> bytes:
    """Return a NumPy archive, the entry as JSON text in ``case``; bfloat16, which it cannot hold, as float32."""
    stored = {name: _plain(array) for name, array in arrays.items()}
    stored["case"] = np.array(json.dumps(entry))
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **stored)
    return file.getvalue()


def _plain(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array


def as_json(entry: Entry, arrays: Arrays) -> bytes:
    """Return one JSON object: the entry, each array with its numbers as nested lists in ``data``.

    A float is written with the digits that give it back; NaN and infinities are the strings ``"nan"``, ``"inf"``,
    ``"-inf"``.
    """
    filled = {name: entry["arrays"][name] | {"data": _lists(array)} for name, array in arrays.items()}
    return (json.dumps(dict(entry) | {"arrays": filled}, allow_nan=False) + "\n").encode()


def _lists(array: Array) -> Any:
    if array.dtype.kind == "i":
        return array.tolist()
    numbers = array.astype(np.float64)
    if np.isfinite(numbers).all():
        return numbers.tolist()
    written = [number if math.isfinite(number) else str(number) for number in numbers.ravel().tolist()]
    return np.array(written, object).reshape(numbers.shape).tolist()


def as_safetensors(entry: Entry, arrays: Arrays) -> bytes:
    """Return a safetensors file, the entry as JSON text in its metadata under ``case``."""
    return safetensors.numpy.save({name: array.copy() for name, array in arrays.items()}, {"case": json.dumps(entry)})


CONTAINERS: dict[str, Callable[[Entry, Arrays], bytes]] = {
    "npz": as_npz,
    "json": as_json,
    "safetensors": as_safetensors,
}
"""Ending of the file -> bytes of a case."""


def check_place(folder: Path) -> None:
    """Refuse a place for an export, before the work, that holds anything else.

    Raises
    ------
    FileError
        If it does, or cannot be written.
    """
    check_folder(folder, _is_export, "exported cases")


def _is_export(folder: Path) -> bool:
    """Return whether a folder holds what `export` wrote, and nothing beside it."""
    try:
        index = read(folder / INDEX)
        names = {entry["file"] for part in ("cases", "extensions") for entry in index[part]} | {INDEX}
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return all(path.relative_to(folder).as_posix() in names for path in folder.rglob("*") if not path.is_dir())


def export(store: Store, case_ids: Sequence[str], container: str, folder: Path) -> list[Path]:
    """Write ``<folder>/<case id>.<container>`` for each case, and their entries as ``index.json``; return the files.

    Cases of extensions stand in a section of their own, as they do in the golden data.

    Raises
    ------
    FileError
        As `check_place`.
    """
    check_place(folder)
    listed: dict[str, list[Entry]] = {"cases": [], "extensions": []}

    def files() -> Iterator[tuple[str, bytes]]:
        for case_id in case_ids:
            section = "cases" if case_id in store.entries else "extensions"
            entry = (store.entries if section == "cases" else store.extensions)[case_id]
            name, data = f"{case_id}.{container}", CONTAINERS[container](entry, store.arrays(case_id))
            listed[section].append(entry | {"file": name})
            yield name, data
        yield INDEX, (json.dumps(listed, indent=1) + "\n").encode()

    write_folder(folder, files())
    return [folder / entry["file"] for part in listed.values() for entry in part]
