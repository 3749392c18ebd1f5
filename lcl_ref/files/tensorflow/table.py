"""The index of a checkpoint of TensorFlow: a sorted table of keys, in the form of LevelDB, and entries of arrays."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lcl_ref.files.tensorflow.messages import fields, inside, varint
from lcl_ref.files.untrusted import check_text

MAGIC = 0xDB4775248B80FB57
FOOTER = 48


@dataclass(frozen=True)
class Stored:
    """Where an array is: the number of its type, its shape, shard, place and size there, and whether it is in parts."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    parts: bool


def entries(path: Path) -> dict[str, Stored]:
    """Return the arrays that an index lists, by key.

    Raises
    ------
    ValueError
        If it is damaged, packed, or no index.
    """
    check_text(path, "an index", path.stat().st_size)
    data = path.read_bytes()
    if len(data) < FOOTER or struct.unpack("<Q", data[-8:])[0] != MAGIC:
        raise ValueError("no table of keys")
    place = 0
    handle = data[-FOOTER:]
    for _ in range(2):  # of the table of tables, which is not needed
        _, place = varint(handle, place)
    found: dict[str, Stored] = {}
    for _, where in _block(data, *_handle(handle[place:])):
        found |= {key.decode(): _entry(value) for key, value in _block(data, *_handle(where)) if key}
    return found


def _handle(data: bytes) -> tuple[int, int]:
    offset, place = varint(data, 0)
    return offset, varint(data, place)[0]


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; a key repeats the beginning of the one before by its length."""
    block = data[offset : offset + size]
    if len(block) < size or data[offset + size] != 0:
        raise ValueError("a table that is cut short or packed")
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    place, key = 0, b""
    while place < end:
        shared, place = varint(block, place)
        own, place = varint(block, place)
        length, place = varint(block, place)
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + length]
        place += own + length


def _entry(message: bytes) -> Stored:
    numbers = {number: value for number, value in fields(message) if isinstance(value, int)}
    sizes = [dict(fields(one)).get(1, 0) for one in inside(message, 2, 2)]
    parts = any(number == 7 for number, _ in fields(message))
    shape = tuple(size for size in sizes if isinstance(size, int))
    return Stored(numbers.get(1, 0), shape, numbers.get(3, 0), numbers.get(4, 0), numbers.get(5, 0), parts)
