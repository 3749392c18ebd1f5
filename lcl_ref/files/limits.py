"""How much one file may make this program read, keep and write, all its parts together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

EXPANSION = 200
"""Times that stored bytes may grow when unpacked: trained weights hardly shrink; more is a lie or a trap."""

SMALL = 1 << 26
"""Bytes below which an expansion is not looked at."""

ENTRIES = 100_000
"""Arrays and groups of a file."""

TEXT = 1 << 24
"""Bytes of its configuration, of a header, a table of contents, or a specification."""

ATTRIBUTES = 1 << 26
"""Bytes of all attributes of an HDF5 file."""

MEMORY = 1 << 28
"""Bytes that the process that reads an HDF5 file may take, besides twice the length of the file."""

SECONDS = 3
"""Of the processor, that the process that reads an HDF5 file may take, besides one for every `PER_SECOND` bytes."""

PER_SECOND = 1 << 23
"""Bytes that are read and unpacked in a second at the least."""

_TIMES: ContextVar[float] = ContextVar("times", default=1.0)


def times() -> float:
    """Return how much larger than these the limits are."""
    return _TIMES.get()


def of(limit: int) -> int:
    """Return one of these limits, as it is now."""
    return int(limit * _TIMES.get())


@contextmanager
def raised(factor: float) -> Iterator[None]:
    """Let a block have limits that are `factor` times as large, for a file of which one knows where it comes from."""
    token = _TIMES.set(factor)
    try:
        yield
    finally:
        _TIMES.reset(token)
