"""Reading PyTorch files: the tensors of a ``state_dict``, in the zip format of torch 1.6 or in the one before."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import as_strided

from lcl_ref.files.contents import Array, Tensor, WeightFile
from lcl_ref.files.torch import pickles
from lcl_ref.files.torch.pickles import Foreign, Storage, TensorEntry
from lcl_ref.files.untrusted import check_count, check_name, check_size, check_text, problem, reading, zip_archive
from lcl_ref.outside.text import shown

DTYPES: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    "half": np.dtype(np.float16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "byte": np.dtype(np.uint8),
    "char": np.dtype(np.int8),
    "short": np.dtype(np.int16),
    "int": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "complexfloat": np.dtype(np.complex64),
    "complexdouble": np.dtype(np.complex128),
} | {f"uint{bits}": np.dtype(f"uint{bits}") for bits in (16, 32, 64)}
"""Name of torch -> dtype."""

MAGIC = 0x1950A86A20F9469CFC6C
"""First value of a file of torch before 1.6."""

_TRAINING = ("optim", "lr_sched", "scheduler", "scaler", "ema")
"""How keys of a checkpoint begin that hold no weights of the model."""

DEEPEST = 8
"""Dictionaries inside each other that are looked into."""

Bytes = Callable[[Storage], tuple[IO[bytes], int]]
"""Storage -> a file at its first byte, and how many bytes it has."""


def read(path: Path, stack: ExitStack) -> WeightFile:
    """Open a file that ``torch.save`` wrote.

    Raises
    ------
    FileError
        If it is damaged, or holds anything but tensors in dictionaries; the error says how to save a state_dict.
    """
    with reading(path, "a PyTorch file"):
        if zipfile.is_zipfile(path):
            root, source = _of_zip(path, stack)
            form = "PyTorch state_dict"
        else:
            root, source = _of_stream(path, stack)
            form = "PyTorch state_dict, of a torch before 1.6"
        entries, left = _weights(path, root)
        check_count(path, len(entries))
        tensors = {name: _tensor(path, name, entry, source) for name, entry in entries.items()}
    return WeightFile(path, form, tensors, left=tuple(left))


def _of_zip(path: Path, stack: ExitStack) -> tuple[Any, Bytes]:
    archive = stack.enter_context(zip_archive(path))
    names = {info.filename: info for info in archive.infolist()}
    main = next(name for name in names if name.endswith("/data.pkl") and name.count("/") == 1)
    folder = main.removesuffix("data.pkl")
    check_text(path, "a pickle", names[main].file_size)
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise problem(path, "byteorder", "numbers of a big-endian machine", "little-endian ones")

    def source(storage: Storage) -> tuple[IO[bytes], int]:
        info = names[f"{folder}data/{storage.key}"]
        check_size(path, storage.key, info.file_size, info.compress_size)
        return archive.open(info), info.file_size

    with archive.open(main) as file:
        return pickles.read(file)[0], source


def _of_stream(path: Path, stack: ExitStack) -> tuple[Any, Bytes]:
    file = stack.enter_context(path.open("rb"))
    magic, _, system = (pickles.read(file)[0] for _ in range(3))
    if magic != MAGIC or not system["little_endian"]:
        raise problem(path, "magic", "a pickle of something else", "what torch.save wrote, little-endian")
    root, storages = pickles.read(file)
    keys, _ = pickles.read(file)
    check_text(path, "a pickle", file.tell())
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        size = count * _dtype(path, key, storages[key].kind).itemsize
        places[key] = file.tell(), size
        file.seek(size, 1)

    def source(storage: Storage) -> tuple[IO[bytes], int]:
        start, size = places[storage.key]
        if start + size > path.stat().st_size:
            raise problem(path, "size", f"{size} bytes of storage {storage.key}", "a file that is not cut short")
        file.seek(start)
        return file, size

    return root, source


def _weights(path: Path, root: Any) -> tuple[dict[str, TensorEntry], list[str]]:
    """Return the tensors by name, and what stands beside them at the root."""
    if isinstance(root, TensorEntry):
        return {"tensor": root}, []
    groups = dict(_groups(root, "", 0)) if isinstance(root, dict | list | tuple) else {}
    kept = {name: group for name, group in groups.items() if not name.lower().startswith(_TRAINING)}
    if not kept:
        raise _no_tensors(path, root)
    outer = {name.partition(".")[0] for name in kept}
    left = [str(key) for key in root if str(key) not in outer] if isinstance(root, dict) and "" not in kept else []
    left += [name for name in groups if name not in kept and name.partition(".")[0] in outer]
    left += _unread(root) if "" in kept else []
    alone = len(kept) == 1
    found = {
        check_name(path, name if alone or not prefix else f"{prefix}.{name}"): entry
        for prefix, group in kept.items()
        for name, entry in group.items()
    }
    return found, left


def _unread(root: Any) -> list[str]:
    """Return the entries beside tensors that are none, such as quantised tensors, with their class."""
    pairs = root.items() if isinstance(root, dict) else enumerate(root)
    return [f"{key} ({shown(one.name, 100)})" for key, one in pairs if isinstance(one, Foreign)]


def _groups(value: Any, prefix: str, depth: int) -> Iterator[tuple[str, dict[str, TensorEntry]]]:
    """Yield the dictionaries that hold tensors themselves, by the keys that lead there."""
    pairs = [(str(key), one) for key, one in (value.items() if isinstance(value, dict) else enumerate(value))]
    own = {key: one for key, one in pairs if isinstance(one, TensorEntry)}
    if own:
        yield prefix, own
    for key, one in pairs:
        if depth < DEEPEST and isinstance(one, dict | list | tuple):
            yield from _groups(one, f"{prefix}.{key}" if prefix else key, depth + 1)


def _no_tensors(path: Path, root: Any) -> Exception:
    held = next((one.name for one in _flat(root) if isinstance(one, Foreign)), "")
    got = f"a whole object of class {shown(held, 100)}, which only its own code can make" if held else "no tensors"
    load = f'torch.load("{path.name}", weights_only=False)'
    if isinstance(root, Mapping):
        key = next((key for key, one in root.items() if isinstance(one, Foreign) and one.name == held), "model")
        load += f"[{key!r}]"
    todo = f'where that code is, and you trust the file: torch.save({load}.state_dict(), "weights.pt")'
    return problem(path, "pickle", got, "a state_dict: tensors by name", todo)


def _flat(root: Any) -> Iterator[Any]:
    yield root
    if isinstance(root, dict | list | tuple):
        yield from root.values() if isinstance(root, dict) else root


def _dtype(path: Path, name: str, kind: str) -> np.dtype[Any]:
    if kind not in DTYPES:
        todo = "save it as a plain type first: tensor.dequantize() or tensor.float()"
        raise problem(path, "dtype", f"array {name!r} of torch's {shown(kind, 40)}", ", ".join(DTYPES), todo)
    return DTYPES[kind]


_SHORT = {
    "float32": "float",
    "float64": "double",
    "float16": "half",
    "int64": "long",
    "int32": "int",
    "int16": "short",
    "int8": "char",
    "uint8": "byte",
    "complex64": "complexfloat",
    "complex128": "complexdouble",
}
"""Names of dtypes -> names of storages."""


def _tensor(path: Path, name: str, entry: TensorEntry, source: Bytes) -> Tensor:
    """Return a tensor whose view lies inside its storage."""
    dtype = _dtype(path, name, _SHORT.get(entry.kind, entry.kind))
    stored = entry.storage.count * _dtype(path, name, entry.storage.kind).itemsize
    last = entry.offset + sum((size - 1) * step for size, step in zip(entry.shape, entry.stride, strict=True))
    if math.prod(entry.shape) and (last + 1) * dtype.itemsize > stored:
        raise problem(path, "size", f"array {name!r} beyond its {stored} bytes", "a view inside its storage")
    check_size(path, name, math.prod(entry.shape) * dtype.itemsize, stored)
    return Tensor(name, entry.shape, dtype, partial(_read, path, name, entry, dtype, source))


def _read(path: Path, name: str, entry: TensorEntry, dtype: np.dtype[Any], source: Bytes) -> Array:
    with reading(path, f"array {name!r}"):
        file, size = source(entry.storage)
        stored = entry.storage.count * DTYPES[_SHORT.get(entry.storage.kind, entry.storage.kind)].itemsize
        if size != stored:
            raise problem(path, "size", f"{size} bytes of array {name!r}", f"{stored} bytes")
        values = _whole(file, size)[entry.offset * dtype.itemsize :]
        count = math.prod(entry.shape)
        if not count or _is_plain(entry):
            return values[: count * dtype.itemsize].view(dtype).reshape(entry.shape)
        steps = [step * dtype.itemsize for step in entry.stride]
        numbers = values[: len(values) // dtype.itemsize * dtype.itemsize].view(dtype)
        return np.array(as_strided(numbers, entry.shape, steps, writeable=False))


def _is_plain(entry: TensorEntry) -> bool:
    """Return whether the elements stand in C order, one after the other."""
    following = [math.prod(entry.shape[axis + 1 :]) for axis in range(len(entry.shape))]
    return all(n == 1 or step == c for n, step, c in zip(entry.shape, entry.stride, following, strict=True))


def _whole(file: IO[bytes], size: int) -> Array:
    """Return so many bytes of a file, or of a member of an archive, whose checksum is compared at its end."""
    buffer = np.empty(size, np.uint8)
    place = 0
    while place < size:
        got = file.readinto(buffer.data[place:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError(f"{place} bytes in the place of {size}")
        place += got
    if isinstance(file, zipfile.ZipExtFile):
        file.read()
    return buffer
