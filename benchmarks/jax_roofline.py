"""What keeps jax.fast from torch.fast with the kernel: `python benchmarks/jax_roofline.py [--inline] [LAYER]...`.

Prints, for each layer, the milliseconds of its products by the kernel alone, in memory written to before; those
of the same in a compiled program of JAX; and how many times as long as torch.fast that is, forward and in a step.
With ``--inline`` JAX computes in the thread that calls, which saves the way to XLA's own threads and back;
`OMP_NUM_THREADS=1` takes one core. Medians of turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from lcl_ref.bench.child import operands
from lcl_ref.bench.workloads import WORKLOADS, Workload
from lcl_ref.layers.engines import jax as on_jax
from lcl_ref.layers.engines import torch as on_torch
from lcl_ref.layers.engines.kernel import FORMATS, cores, kernel_of

INLINE = "--inline"

FLOAT32 = FORMATS["float32"]

ROUNDS, SETTLED = 7, 0.01
"""Turns of every way; seconds of calls that are not counted first, in which threads of the last way come to rest."""


def by_kernel(work: Workload, given: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the products without a framework."""
    kernel, batch = kernel_of(work.spec), work.batch
    assert kernel is not None, "the kernel is not installed: `make kernel` builds it"
    x, weight, bias, dy = (given[name] for name in ("x", "weight", "bias", "dy"))
    y, dx, dw = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(weight)

    def at(*arrays: Any) -> list[int]:
        return [array.ctypes.data for array in arrays]

    def forward() -> None:
        kernel.output(FLOAT32, batch, *at(x, weight, bias, y), cores(), position=bias.ndim > 1)

    def step() -> None:
        forward()
        kernel.input_gradient(FLOAT32, batch, *at(dy, weight, dx), cores())
        kernel.weight_gradient(FLOAT32, batch, *at(x, dy, dw), cores())

    return {"forward": forward, "step": step}


def by_jax(work: Workload, given: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return calls of compiled programs."""
    *moving, dy = (jax.numpy.asarray(given[name]) for name in ("x", "weight", "bias", "dy"))

    def layer(*operands: Any) -> Any:
        return on_jax.local(work.spec, *operands)

    def vjp(dy: Any, *operands: Any) -> Any:
        y, pull_back = jax.vjp(layer, *operands)
        return y, pull_back(dy)

    forward, step = jax.jit(layer), jax.jit(vjp)
    return {
        "forward": lambda: jax.block_until_ready(forward(*moving)),
        "step": lambda: jax.block_until_ready(step(dy, *moving)),
    }


def by_torch(work: Workload, given: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return calls of torch.fast."""
    *moving, dy = (torch.from_numpy(given[name]) for name in ("x", "weight", "bias", "dy"))
    leaves, layer = [tensor.clone().requires_grad_() for tensor in moving], work.spec.to_json()
    return {
        "forward": lambda: on_torch.local(layer, *moving),
        "step": lambda: torch.autograd.grad(on_torch.local(layer, *leaves), leaves, dy),
    }


def turn(call: Callable[[], Any]) -> float:
    """Return the seconds of a call, the median of three in a row."""
    began = time.perf_counter()
    while time.perf_counter() - began < SETTLED:
        call()
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main(names: list[str]) -> None:
    """Print a line per layer."""
    jax.config.update("jax_cpu_enable_async_dispatch", INLINE not in names)
    names = [name for name in names if name != INLINE]
    torch.set_num_threads(cores())
    print(f"{'forward / step':<16}{'kernel ms':>18}{'jax.fast ms':>18}{'over the kernel':>18}{'over torch.fast':>18}")
    for work in [one for one in WORKLOADS if one.name in names or not names]:
        given = operands(work)
        ways = [make(work, given) for make in (by_kernel, by_jax, by_torch)]
        columns: list[list[str]] = [[], [], [], []]
        for op in ("forward", "step"):
            rounds = [[turn(way[op]) for way in ways] for _ in range(ROUNDS)]
            found = zip(*((k * 1e3, j * 1e3, j / k, j / t) for k, j, t in rounds), strict=True)
            for column, values in zip(columns, found, strict=True):
                column.append(f"{statistics.median(values):.2f}")
        print(f"{work.name:<16}" + "".join(f"{' / '.join(column):>18}" for column in columns), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
