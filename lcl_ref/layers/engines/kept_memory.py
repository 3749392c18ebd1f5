"""Memory of large results, which is used again.

An allocator gives large pieces of memory back to the system as they are freed, and smaller ones where they lie at the
end of its heap. The system fills those it hands out with zeros, page by page and no faster on several cores, which
takes up to as long as the result itself (`docs/speed.md`); and every step of training makes the same ones anew. So
what a result leaves is kept for the next one of its size. The system may take it back at any time that it needs memory
(``MADV_FREE``), and what is kept and what is in use are never more than what was in use at once.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref
from contextlib import suppress

LARGE_BYTES = 1 << 20
"""Keep pieces from this size on: for smaller ones the way here takes longer than the pages."""

SERVES = hasattr(mmap, "MADV_FREE")
"""Whether the system can be told that it may take memory back."""


class Pieces:
    """Pieces of memory in use, and those kept for others.

    Threads share them, and a piece may come back at any moment: so they are changed by single calls only.
    """

    def __init__(self) -> None:
        self.kept: list[mmap.mmap] = []
        self._in_use: dict[int, int] = {}
        self._most = 0

    def take(self, size: int) -> mmap.mmap | None:
        """Return a piece of this size, if possible one that was kept; None if the system has none."""
        piece = self._again(size) or _fresh(size)
        if piece is not None:
            self._in_use[id(piece)] = size
            self._most = max(self._most, self._bytes_in_use())
            self._let_go()
        return piece

    def leave(self, piece: mmap.mmap) -> None:
        """Keep a piece that nobody uses any more."""
        piece.madvise(mmap.MADV_FREE)
        self._in_use.pop(id(piece), None)
        self.kept.append(piece)
        self._let_go()

    def _again(self, size: int) -> mmap.mmap | None:
        """Return a kept piece of this size, the latest, if there is one."""
        for piece in reversed(self.kept[:]):
            if len(piece) == size:
                with suppress(ValueError):  # another thread took it meanwhile
                    self.kept.remove(piece)
                    return piece
        return None

    def _let_go(self) -> None:
        """Give the oldest back to the system while all of them are more than were ever in use at once."""
        with suppress(IndexError):
            while self._bytes_in_use() + sum(map(len, self.kept[:])) > self._most:
                self.kept.pop(0)

    def _bytes_in_use(self) -> int:
        return sum(list(self._in_use.values()))


_pieces = Pieces()


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
    piece = _pieces.take(size) if size >= LARGE_BYTES and SERVES else None
    if piece is None:
        return None
    held = (ctypes.c_char * size).from_buffer(piece)  # not a view: NumPy holds what lies behind one instead of it
    weakref.finalize(held, _pieces.leave, piece).atexit = False
    return memoryview(held).cast("B")


def _fresh(size: int) -> mmap.mmap | None:
    """Return new memory, in huge pages where the system has them."""
    try:
        piece = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return None
    with suppress(AttributeError, OSError):
        piece.madvise(mmap.MADV_HUGEPAGE)
    return piece
