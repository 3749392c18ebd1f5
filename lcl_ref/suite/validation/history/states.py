"""What has to have happened before a bug shows: each counts the calls of one layer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from numpy.typing import NDArray

from lcl_ref.core.spec import Spec

Array = NDArray[Any]

OVERLAP_SECONDS = 0.001
"""How long a call waits for others to begin meanwhile."""


class Call(NamedTuple):
    """A call: the layer, the samples, the format, the operation and the weight."""

    spec: Spec
    batch: int
    dtype: str
    op: str
    weight: Array


class Calls:
    """The calls of one wrong layer.

    Parameters
    ----------
    after : str
        One of `AFTER`.
    """

    def __init__(self, after: str) -> None:
        self._met = AFTER[after]
        self.count, self.running = 0, 0
        self.last: Call | None = None
        self.seen: set[tuple[Spec, int, str, str]] = set()
        self.kept: dict[Any, Array] = {}
        self._lock = threading.Lock()

    @contextmanager
    def call(self, call: Call) -> Iterator[bool]:
        """Give whether what the bug waits for has happened."""
        with self._lock:
            self.count += 1
            self.running += 1
        try:
            met = self._met(self, call)
            self.last = call
            self.seen.add(call[:4])
            yield met
        finally:
            with self._lock:
                self.running -= 1


def _at_once(calls: Calls, _call: Call) -> bool:
    time.sleep(OVERLAP_SECONDS)
    return calls.running > 1


def _kept(calls: Calls, key: Any, weight: Array) -> bool:
    return not bool((calls.kept.setdefault(key, weight.copy()) == weight).all())


AFTER: dict[str, Callable[[Calls, Call], bool]] = {
    "": lambda calls, call: True,  # noqa: ARG005 -- all have the same arguments
    "a call with another batch": lambda calls, call: calls.last is not None and calls.last.batch != call.batch,
    "a call with an empty batch": lambda calls, call: (
        calls.last is not None and calls.last.batch == 0 < call.batch and calls.last.weight is call.weight
    ),
    "no call of this size": lambda calls, call: call[:4] not in calls.seen,
    "two calls": lambda calls, call: calls.count % 3 == 0,  # noqa: ARG005
    "a call that has not ended": _at_once,
    "a call with other weights": lambda calls, call: _kept(calls, (call.spec, call.dtype), call.weight),
    "a call with other weights at the same address": lambda calls, call: _kept(
        calls, (call.spec, call.dtype, call.weight.ctypes.data), call.weight
    ),
}
"""Words -> whether it has happened by a call."""
