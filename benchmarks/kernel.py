"""torch.fast with the compiled kernel and without it, by turns: `python benchmarks/kernel.py [LAYER]...`.

Beside them what users write by hand: all windows unfolded, then a batched product. `THREADS=1` takes one core; the
default is all. `DTYPE=bfloat16` takes operands in that format, and what is beside them is the kernel in float32. Prints
times over the limit of `lcl bench`, measured before each round on as many cores, in any order: the median over
the rounds, and the least. Where others use the machine, the least is what it says of the code. At the end come the
geometric means of the medians, over the layers that count in those of `lcl bench`.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lcl_ref.bench.machine import Machine
from lcl_ref.bench.tables import LEAST_SECONDS
from lcl_ref.bench.workloads import WORKLOADS, Workload
from lcl_ref.layers.engines import torch as engine
from lcl_ref.layers.engines import torch_kernel
from lcl_ref.layers.engines.kernel import cores
from lcl_ref.layers.engines.torch_at_once import at_once
from lcl_ref.layers.engines.torch_kernel import layer_of
from lcl_ref.layers.engines.torch_route import route_of

ROUNDS = 9


def without(call: Callable[[], Any]) -> Any:
    """Return what a call does where the kernel is not installed."""
    for module in (torch_kernel, engine):
        vars(module)["layer_of"] = lambda _: None
    try:
        return call()
    finally:
        for module in (torch_kernel, engine):
            vars(module)["layer_of"] = layer_of


def contestants(work: Workload, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """Return calls by name: forward ones, and steps, which differentiate as well."""
    spec, layer = work.spec, work.spec.to_json()
    shapes = spec.x_shape(work.batch), spec.weight_shape, spec.bias_shape, spec.y_shape(work.batch)
    *operands, dy = [torch.randn(shape or (), dtype=dtype) for shape in shapes]
    leaves = [operand.clone().requires_grad_() for operand in operands]
    ways: dict[str, Callable[..., Tensor]] = {
        "fast": partial(engine.local, layer),
        "unfold": partial(at_once, route_of(layer)),
    }

    def forward(way: Callable[..., Tensor]) -> None:
        with torch.no_grad():
            way(*operands)

    def step(way: Callable[..., Tensor]) -> None:
        torch.autograd.grad(way(*leaves), leaves, dy)

    calls: dict[str, Callable[[], Any]] = {}
    for run in (forward, step):
        calls |= {f"{name} {run.__name__}": partial(run, way) for name, way in ways.items()}
        calls[f"tiles {run.__name__}"] = partial(without, partial(run, ways["fast"]))
    return calls


def main(names: list[str]) -> None:
    """Print a line per layer, and the means."""
    threads = int(os.environ.get("THREADS", cores()))
    torch.set_num_threads(threads)
    machine = Machine(threads)
    medians: dict[str, list[float]] = {}
    for work in [one for one in WORKLOADS if one.name in names or not names]:
        taken = _times_over_limit(work, getattr(torch, os.environ.get("DTYPE", "float32")), machine)
        middles = {name: statistics.median(times) for name, times in taken.items()}
        line = (f"{name} {middle:.1f} ({min(taken[name]):.1f})" for name, middle in middles.items())
        print(f"{work.name}: {', '.join(line)}", flush=True)
        for name, middle in middles.items():
            if machine.limit(work, name.split()[-1]) >= LEAST_SECONDS:
                medians.setdefault(name, []).append(middle)
    machine.close()
    for name, some in medians.items():
        print(f"{name}: {statistics.geometric_mean(some):.2f} over {len(some)} layers")


def _times_over_limit(work: Workload, dtype: torch.dtype, machine: Machine) -> dict[str, list[float]]:
    """Return of each call the times of all rounds but the first, over the limit of that round."""
    calls = contestants(work, dtype)
    if dtype is not torch.float32:
        wide = contestants(work, torch.float32)
        calls = {name: call for name, call in calls.items() if "unfold" not in name}
        calls |= {f"float32 {name}": call for name, call in wide.items() if "fast" in name}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    turns = random.Random(0)  # noqa: S311 -- another order in each round: a call finds in caches what the last left
    for _ in range(ROUNDS + 1):
        machine.measure()
        for name in turns.sample(list(calls), len(calls)):
            began = time.perf_counter()
            calls[name]()
            taken[name].append((time.perf_counter() - began) / machine.limit(work, name.split()[-1], latest=True))
    return {name: times[1:] for name, times in taken.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
