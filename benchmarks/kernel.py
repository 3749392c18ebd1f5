"""torch.fast with the compiled kernel and without it, by turns: `python benchmarks/kernel.py [LAYER]...`.

Beside them what users write by hand: all windows unfolded, then a batched product. `THREADS=1` takes one core; the
default is all. `DTYPE=bfloat16` takes operands in that format, and what is beside them is the kernel in float32. Prints
times over the limit of `lcl bench`, measured in the same turns on as many cores, in any order: the median over
the rounds, and the least. Where others use the machine, the least is what it says of the code.
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

from lcl_ref.bench.workloads import WORKLOADS, Workload
from lcl_ref.layers.engines import torch as engine
from lcl_ref.layers.engines import torch_kernel
from lcl_ref.layers.engines.torch_at_once import at_once
from lcl_ref.layers.engines.torch_kernel import layer_of
from lcl_ref.layers.engines.torch_route import route_of

ROUNDS = 9

SIDE = 1024
"""Matrices of this size tell the rate of products; as many bytes as 16 of them, that of memory."""


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


def machine() -> dict[str, Callable[[], Any]]:
    """Return calls that tell the rates of `limits`."""
    square, long = torch.randn(SIDE, SIDE), torch.randn(16 * SIDE, SIDE)
    return {"product": lambda: square @ square, "reading": long.sum}


def limits(work: Workload, product: float, reading: float) -> dict[str, float]:
    """Return the seconds that no call is faster than: of a product of `SIDE`, and of reading 16 such matrices."""
    arithmetic, memory = work.products / SIDE**3 * product, work.weight_bytes / (64 * SIDE**2) * reading
    return {"forward": max(arithmetic, memory), "step": max(3 * arithmetic, 2 * memory)}


def main(names: list[str]) -> None:
    """Print a line per layer."""
    torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count() or 1)))
    dtype = getattr(torch, os.environ.get("DTYPE", "float32"))
    for work in [one for one in WORKLOADS if one.name in names or not names]:
        calls = machine() | contestants(work, dtype)
        if dtype is not torch.float32:
            wide = contestants(work, torch.float32)
            calls = {name: call for name, call in calls.items() if "unfold" not in name}
            calls |= {f"float32 {name}": call for name, call in wide.items() if "fast" in name}
        taken: dict[str, list[float]] = {name: [] for name in calls}
        turns = random.Random(0)  # noqa: S311 -- another order in each round: a call finds in caches what the last left
        for name in [one for _ in range(ROUNDS + 1) for one in turns.sample(list(calls), len(calls))]:
            began = time.perf_counter()
            calls[name]()
            taken[name].append(time.perf_counter() - began)
        print(f"{work.name}: {_line(work, {name: times[1:] for name, times in taken.items()})}", flush=True)


def _line(work: Workload, taken: dict[str, list[float]]) -> str:
    """Return medians, and least times, over the limit."""
    parts = []
    for name in list(taken)[2:]:
        rounds = zip(taken["product"], taken["reading"], taken[name], strict=True)
        op = name.split()[-1]
        middle = statistics.median(one / limits(work, *rates)[op] for *rates, one in rounds)
        least = min(taken[name]) / limits(work, min(taken["product"]), min(taken["reading"]))[op]
        parts.append(f"{name} {middle:.1f} ({least:.1f})")
    return ", ".join(parts)


if __name__ == "__main__":
    main(sys.argv[1:])
