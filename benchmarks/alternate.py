"""Two backends, or published layers, call by call in one process: ``python benchmarks/alternate.py A B [LAYER]...``.

`lcl bench` gives every backend a process of its own; where a machine changes its speed within seconds, calls that
follow each other are compared more closely. Prints how many times as long A takes as B: the median over the rounds,
processor time, or with ``CLOCK=wall`` time on the wall. Threads are those of the environment (``OMP_NUM_THREADS=1``).
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from lcl_ref.bench import published
from lcl_ref.bench.child import Bench
from lcl_ref.bench.machine import seconds
from lcl_ref.bench.session import OPS
from lcl_ref.bench.workloads import WORKLOADS
from lcl_ref.suite.run.loading import load, resolve

ROUNDS = 11


def ratio(first: Callable[[], Any], second: Callable[[], Any]) -> float:
    """Return how many times as long the first takes, each of them first in every other round."""
    first(), second()
    found, clock = [], os.environ.get("CLOCK", "processor")
    for number in range(ROUNDS):
        taken = {work: seconds(work, clock) for work in ((first, second) if number % 2 else (second, first))}
        found.append(taken[first] / taken[second])
    return statistics.median(found)


def main(names: list[str], layers: list[str]) -> None:
    """Print a line per layer."""
    layers_to_install = {ref.name: ref for ref in published.refs()}
    benches = [Bench(load(layers_to_install.get(name) or resolve([name])[0])) for name in names]
    for layer in layers:
        refusals = [said["refused"] for each in benches if (said := each.prepare(layer, 0))]
        if refusals:
            print(f"{layer}: not run: {'; '.join(refusals)}")
            continue
        ratios = [f"{op} {ratio(*(partial(each.call, op) for each in benches)):.2f}" for op in OPS]
        print(f"{layer}: {names[0]} over {names[1]}, {', '.join(ratios)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:3], sys.argv[3:] or [workload.name for workload in WORKLOADS])
