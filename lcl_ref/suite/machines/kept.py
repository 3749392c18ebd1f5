"""What a machine keeps between two units of a run: golden data, and processes of layers, which take long to start."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.run.matrix import Lent
from lcl_ref.suite.run.process import Worker

IDLE_SECONDS = 10.0
"""So long a process is kept that nobody takes."""


@lru_cache(1)
def store_of(_digest: str) -> Store:
    """Return the golden data of this machine, read anew where the digest is another than the last time."""
    return Store(default_root())


class Kept:
    """The processes that a machine keeps, by the group of a run that they served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[tuple[str, Worker]] = []

    def lent(self, group: str, store: Store, environment: Mapping[str, str]) -> Lent:
        """Return a process of a group, if one is kept; if not, the oldest of the others ends in its favour."""
        with self._lock:
            mine = next((one for one in self._kept if one[0] == group), None)
            other = self._kept[0] if self._kept and mine is None else None
            self._kept = [one for one in self._kept if one not in (mine, other)]
        if other is not None:
            other[1].close()
        return Lent(store, environment, mine[1] if mine is not None else None)

    def returned(self, group: str, lent: Lent) -> None:
        """Keep a process for a while; one of no group ends."""
        if lent.worker is None:
            return
        if not group:
            lent.worker.close()
            return
        one = (group, lent.worker)
        with self._lock:
            self._kept.append(one)
        timer = threading.Timer(IDLE_SECONDS, self._end, (one,))
        timer.daemon = True
        timer.start()

    def _end(self, one: tuple[str, Worker]) -> None:
        """End a process that is kept still."""
        with self._lock:
            here = any(each is one for each in self._kept)
            self._kept = [each for each in self._kept if each is not one]
        if here:
            one[1].close()
