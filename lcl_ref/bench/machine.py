"""What the machine could do at best: memory read and written, and multiply-adds, at rates measured in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lcl_ref.bench.workloads import Workload
from lcl_ref.outside import processes
from lcl_ref.suite.run.process import THREAD_VARIABLES

STREAM_BYTES = 64 << 20
"""Memory that is read and written to measure: more than a cache holds."""

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
"""Clock -> its seconds; processor time is that of all threads of a process, and leaves out what others do."""

MATRIX = 1024
"""Side of the square matrices whose product is timed."""

UNKNOWN_CACHE_BYTES = 64 << 20

LONG_SECONDS = 4.0
TURN_SECONDS = 0.05

REST_SECONDS = 1.0
"""The longest wait for threads that wait for work by spinning; those of NumPy's OpenBLAS do so for 0.1 s."""


def turn(work: Callable[[], object], clock: str, before: Callable[[], object] = lambda: None) -> float:
    """Return the median seconds, by a clock, of a few calls in a row, but the first: as steps of training follow.

    The first finds caches full of the last backend's work, and memory the system has taken back meanwhile. A call of
    more than `LONG_SECONDS` hardly notices, and is made once. `before` runs before each call, and is not timed.
    """
    before()
    first = seconds(work, clock)
    if first > LONG_SECONDS:
        return first
    taken: list[float] = []
    while not taken or sum(taken) < TURN_SECONDS:
        before()
        taken.append(seconds(work, clock))
    return statistics.median(taken)


def rest() -> None:
    """Return when no other thread of this process computes, or spins: it would take a core from the next process."""
    pause = 0.005
    for _ in range(int(REST_SECONDS / pause)):
        began = time.process_time()
        time.sleep(pause)
        if time.process_time() - began < pause / 5:
            return


def flush_caches() -> None:
    """Read and write twice as much memory as the largest cache holds, so that the next call finds nothing of its own.

    A layer inside a network meets its weights like that: between two of its calls, all other layers read theirs.
    """
    memory = _other_memory()
    np.add(memory, 1, out=memory)


@cache
def _other_memory() -> NDArray[np.uint8]:
    return np.zeros(2 * largest_cache_bytes(), np.uint8)


def largest_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Return the size of the last-level cache (Linux), or `UNKNOWN_CACHE_BYTES` where the system does not tell."""
    sizes = [file.read_text(encoding="ascii").strip() for file in folder.glob("index*/size")]
    return max((int(size[:-1]) << 10 for size in sizes if size.endswith("K")), default=UNKNOWN_CACHE_BYTES)


def seconds(work: Callable[[], object], clock: str) -> float:
    """Return the seconds of one call, by a clock."""
    began = CLOCKS[clock]()
    work()
    return CLOCKS[clock]() - began


@dataclass
class Machine:
    """Rates of the machine: measured in every round, by turns as those of backends, medians of which count as theirs.

    Parameters
    ----------
    threads : int
        How many threads may read, write and multiply.
    clock : str
        Of `CLOCKS`.
    """

    threads: int
    clock: str = "wall"
    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    def measure(self) -> None:
        """Time reads, writes and matrix products, in a process that has so many threads as the backends."""
        if self._process is None:
            self._process = self._started()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for rates, rate in zip(
            (self.reads, self.writes, self.products), json.loads(self._process.stdout.readline()), strict=True
        ):
            rates.append(rate)

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 -- this module
            processes.command("lcl_ref.bench.machine", str(self.threads), self.clock),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=processes.environment(dict.fromkeys(THREAD_VARIABLES, str(self.threads))),
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def limit(self, workload: Workload, op: str, *, latest: bool = False) -> float:
        """Return the seconds `op` takes at least: its memory traffic or its arithmetic, whichever is slower.

        Forward reads the weights once; a step reads them once, writes their gradient once, and multiplies three times
        as often; so does a step of training, with the weights in place of their gradient. At the median rates of the
        run, or the latest.
        """
        steps = op != "forward"
        rates = (self.reads, self.writes, self.products)
        read, written, multiplied = (kept[-1] if latest else statistics.median(kept) for kept in rates)
        traffic = workload.weight_bytes / read + steps * workload.weight_bytes / written
        return max(traffic, (3 if steps else 1) * workload.products / multiplied)

    def rates(self) -> dict[str, float]:
        """Return the best and median rates: bytes and multiply-adds per second."""
        measured = {"read": self.reads, "write": self.writes, "multiply_add": self.products}
        return {
            f"{name}_{kind}": pick(values)
            for name, values in measured.items()
            for kind, pick in (("best", max), ("median", statistics.median))
        }


class Meter:
    """What `Machine` measures, in the process that it starts."""

    def __init__(self, threads: int, clock: str) -> None:
        self._clock = clock
        self._parts = np.array_split(np.ones(STREAM_BYTES // 4, np.float32), threads)
        self._matrix = np.ones((MATRIX, MATRIX), np.float32)
        self._pool = ThreadPoolExecutor(threads)

    def rates(self) -> list[float]:
        """Return bytes read, bytes written and multiply-adds per second."""
        return [
            amount / turn(work, self._clock)
            for amount, work in (
                (STREAM_BYTES, lambda: list(self._pool.map(lambda part: part.max(), self._parts))),
                (STREAM_BYTES, lambda: list(self._pool.map(lambda part: part.fill(1), self._parts))),
                (MATRIX**3, lambda: np.matmul(self._matrix, self._matrix)),
            )
        ]


def keep_to(threads: int) -> None:
    """Let this process and its threads run on so many cores (Linux): XLA counts cores, whatever the variables say."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    keep_to(int(sys.argv[1]))
    meter = Meter(int(sys.argv[1]), sys.argv[2])
    for _ in sys.stdin:
        measured = meter.rates()
        rest()
        sys.stdout.write(json.dumps(measured) + "\n")
        sys.stdout.flush()
