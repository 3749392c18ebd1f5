"""What all cores gain torch.fast over one, and what a pause costs it: `python benchmarks/cores.py [LAYER]...`.

Calls on one core and on all take turns in any order, each after one that is not counted; so do a product of matrices,
and reads and writes of memory, which tell what the machine itself gains. Prints medians over the rounds of one core's
time over that of all. Then calls after pauses, as of a loader of batches, over calls in a row, on all cores.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from kernel import contestants
from lcl_ref.bench.machine import seconds
from lcl_ref.bench.workloads import WORKLOADS
from lcl_ref.layers.engines.kernel import cores

ROUNDS = 15

SIDE = 1024
"""Matrices of this size tell what products gain; as many bytes as 16 of them, what memory gains."""

PAUSE = 0.03
"""Seconds between calls: longer than threads that have nothing to do stay awake."""


def gains(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return one core's time over that of all, by name."""
    counts = (1, cores())
    turns = [(name, count) for name in calls for count in counts]
    taken: dict[tuple[str, int], list[float]] = {turn: [] for turn in turns}
    shuffle = random.Random(0)  # noqa: S311 -- any order will do
    for name, count in [turn for _ in range(ROUNDS) for turn in shuffle.sample(turns, len(turns))]:
        torch.set_num_threads(count)
        calls[name]()
        taken[name, count].append(seconds(calls[name], "wall"))
    return {name: statistics.median(map(float.__truediv__, taken[name, 1], taken[name, counts[1]])) for name in calls}


def pause_costs(call: Callable[[], Any]) -> tuple[float, float]:
    """Return times after a pause, the median and the worst of ten, over the median of calls in a row."""
    torch.set_num_threads(cores())
    call()
    row = statistics.median(seconds(call, "wall") for _ in range(ROUNDS))
    after = []
    for _ in range(3 * ROUNDS):
        time.sleep(PAUSE)
        after.append(seconds(call, "wall") / row)
    return statistics.median(after), statistics.quantiles(after, n=10)[-1]


def main(names: list[str]) -> None:
    """Print a line per layer."""
    square, long = torch.randn(SIDE, SIDE), torch.randn(16 * SIDE, SIDE)
    beside = {"product": lambda: square @ square, "reading": long.sum, "writing": lambda: long.fill_(1)}
    for work in [one for one in WORKLOADS if one.name in names or not names]:
        all_calls = contestants(work, torch.float32)
        calls = {name.removeprefix("fast "): call for name, call in all_calls.items() if name.startswith("fast")}
        gained = ", ".join(f"{name} {gain:.2f}" for name, gain in gains(calls | beside).items())
        median, worst = pause_costs(calls["forward"])
        print(f"{work.name}: gain {gained}; after a pause {median:.1f}, one in ten {worst:.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
