"""Protocol buffers, as far as the files of TensorFlow need them: fields by number, and no more."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of every field: an integer, or bytes.

    Raises
    ------
    ValueError
        If the message is cut short, or has groups.
    """
    place = 0
    while place < len(message):
        key, place = varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = varint(message, place)
            yield number, value
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            yield number, struct.unpack_from("<Q" if kind == 1 else "<I", message, place)[0]
            place += size
        elif kind == 2:
            size, place = varint(message, place)
            if place + size > len(message):
                raise ValueError("a message that is cut short")
            yield number, message[place : place + size]
            place += size
        else:
            raise ValueError(f"a field of type {kind}")


def inside(message: bytes, *path: int) -> Iterator[bytes]:
    """Yield the messages, or texts, that field numbers lead to, one after the other."""
    for number, value in fields(message):
        if number == path[0] and isinstance(value, bytes):
            if len(path) == 1:
                yield value
            else:
                yield from inside(value, *path[1:])


def text(message: bytes, number: int) -> str:
    """Return a field of text; empty without it."""
    return b"".join(inside(message, number)).decode()


def varint(message: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
