"""Memory of large gradients, which is used again.

An allocator gives large pieces of memory back to the system as they are freed, and the system fills those it hands out
with zeros, page by page and no faster on several cores. For the gradient of a large weight, which every step of
training makes anew, that takes up to as long as the gradient itself (`docs/speed.md`). So what such a gradient leaves
is kept for the next one of its size. The system may take it back at any time that it needs memory (``MADV_FREE``).
"""

from __future__ import annotations

import ctypes
import mmap
import weakref
from contextlib import suppress

LARGE_BYTES = 32 << 20
"""Keep pieces from this size on: the allocator of glibc, at most, keeps smaller ones itself."""

PIECES = 64
"""Keep so many pieces, the ones that were freed last."""

SERVES = hasattr(mmap, "MADV_FREE")
"""Whether the system can be told that it may take memory back."""

_kept: list[mmap.mmap] = []
"""What nobody uses, in the order in which it was freed. Threads share it: it is changed by single calls only."""


def memory(size: int) -> memoryview | None:
    """Return `size` bytes with any contents, which are kept for others once nothing holds them any more.

    None if so few bytes are not worth it, or if the system has none, or no way to take them back.

    Parameters
    ----------
    size : int
        In bytes.

    Returns
    -------
    memoryview or None
        Of bytes. What is made of it by the buffer protocol, as by ``frombuffer``, holds them.

    Examples
    --------
    >>> memory(100) is None
    True
    """
    if size < LARGE_BYTES or not SERVES:
        return None
    piece = _again(size) or _fresh(size)
    if piece is None:
        return None
    held = (ctypes.c_char * size).from_buffer(piece)  # not a view: NumPy holds what lies behind one instead of it
    weakref.finalize(held, _keep, piece).atexit = False
    return memoryview(held).cast("B")


def _again(size: int) -> mmap.mmap | None:
    """Return a kept piece of this size, the latest, if there is one."""
    for piece in reversed(_kept[:]):
        if len(piece) == size:
            with suppress(ValueError):  # another thread took it meanwhile
                _kept.remove(piece)
                return piece
    return None


def _fresh(size: int) -> mmap.mmap | None:
    """Return new memory, in huge pages where the system has them."""
    try:
        piece = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return None
    with suppress(AttributeError, OSError):
        piece.madvise(mmap.MADV_HUGEPAGE)
    return piece


def _keep(piece: mmap.mmap) -> None:
    """Keep a piece that nobody uses any more; let go of the oldest if they are too many."""
    piece.madvise(mmap.MADV_FREE)
    _kept.append(piece)
    with suppress(IndexError):
        if len(_kept) > PIECES:
            _kept.pop(0)
