"""What the machine could do at best: memory read and written, and multiply-adds, at rates measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from lcl_ref.suite.bench.workloads import Workload

STREAM_BYTES = 64 << 20
"""Memory that is read and written to measure: more than a cache holds."""

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
"""Clock -> its seconds; processor time is that of all threads of a process, and leaves out what others do."""

MATRIX = 1024
"""Side of the square matrices whose product is timed."""


@dataclass
class Machine:
    """Rates of the machine, measured whenever `measure` is called; the best seen count, for a limit is a limit.

    Parameters
    ----------
    threads : int
        How many threads read and write; those of the matrix product are set by the environment.
    clock : str
        Of `CLOCKS`.
    """

    threads: int
    clock: str = "wall"
    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._parts = np.array_split(np.ones(STREAM_BYTES // 4, np.float32), self.threads)
        self._matrix = np.ones((MATRIX, MATRIX), np.float32)
        self._pool = ThreadPoolExecutor(self.threads)

    def measure(self) -> None:
        """Time one read, one write and one matrix product."""
        self.reads.append(STREAM_BYTES / self._seconds(lambda part: part.max()))
        self.writes.append(STREAM_BYTES / self._seconds(lambda part: part.fill(1)))
        self.products.append(MATRIX**3 / self._taken(lambda: np.matmul(self._matrix, self._matrix)))

    def _seconds(self, work: Callable[[np.ndarray], object]) -> float:
        return self._taken(lambda: list(self._pool.map(work, self._parts)))

    def _taken(self, work: Callable[[], object]) -> float:
        began = CLOCKS[self.clock]()
        work()
        return CLOCKS[self.clock]() - began

    def limit(self, workload: Workload, op: str) -> float:
        """Return the seconds `op` takes at least: its memory traffic or its arithmetic, whichever is slower.

        Forward reads the weights once; a step reads them once, writes their gradient once, and multiplies three times
        as often.
        """
        steps = op == "step"
        traffic = workload.weight_bytes / max(self.reads) + steps * workload.weight_bytes / max(self.writes)
        return max(traffic, (3 if steps else 1) * workload.products / max(self.products))

    def rates(self) -> dict[str, float]:
        """Return the best and median rates: bytes and multiply-adds per second."""
        measured = {"read": self.reads, "write": self.writes, "multiply_add": self.products}
        return {
            f"{name}_{kind}": pick(values)
            for name, values in measured.items()
            for kind, pick in (("best", max), ("median", statistics.median))
        }
