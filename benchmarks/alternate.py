"""Two backends of one framework call by call in one process: ``python benchmarks/alternate.py A B [LAYER]...``.

`lcl bench` gives every backend a process of its own; where a machine changes its speed within seconds, calls that
follow each other are compared more closely. Prints how many times as long A takes as B: the median over the rounds,
processor time. Threads are those of the environment (``OMP_NUM_THREADS=1``).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from lcl_ref.suite.bench.child import done, find, operands
from lcl_ref.suite.bench.workloads import WORKLOADS
from lcl_ref.suite.loading import load, resolve

ROUNDS = 11


def called(operation: Callable[..., Any], *given: Any) -> None:
    """Call an operation of a layer, and wait for its results."""
    answer = operation(*given)
    for result in answer if isinstance(answer, tuple) else (answer,):
        done(result)


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(first: Callable[[], Any], second: Callable[[], Any]) -> float:
    """Return how many times as long the first takes, each of them first in every other round."""
    first(), second()
    found = []
    for number in range(ROUNDS):
        taken = {work: seconds(work) for work in ((first, second) if number % 2 else (second, first))}
        found.append(taken[first] / taken[second])
    return statistics.median(found)


def main(names: list[str], layers: list[str]) -> None:
    """Print a line per layer."""
    adapters = [load(resolve([name])[0]) for name in names]
    for name in layers:
        workload = find(name, 0)
        given = operands(workload)
        held = [each.prepare(workload.spec, given["weight"], given.get("bias"), "float32") for each in adapters]
        forward = ratio(*(partial(called, layer.forward, given["x"]) for layer in held))
        gradients = ratio(*(partial(called, layer.vjp, given["x"], given["dy"]) for layer in held))
        print(f"{name}: {names[0]} over {names[1]}, forward {forward:.2f}, gradients {gradients:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:3], sys.argv[3:] or [workload.name for workload in WORKLOADS])
