"""What keeps torch.fast from the limit: `python benchmarks/torch_roofline.py`, in processor time of one thread.

Two tables: what the first write to fresh memory costs; and the multiply-adds per second of torch's batched product, at
the matrices of each workload, as a share of the rate that the limit of `lcl bench` assumes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import torch

from lcl_ref.bench.machine import MATRIX
from lcl_ref.bench.workloads import WORKLOADS, Workload
from lcl_ref.layers.engines.torch_memory import empty

ROUNDS = 7
FRESH_BYTES = 256 << 20


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    fresh_memory()
    matrix = np.ones((MATRIX, MATRIX), np.float32)
    rate = MATRIX**3 / best(lambda: np.matmul(matrix, matrix))
    print(f"\nNumPy's product of {MATRIX} x {MATRIX} matrices: {rate / 1e9:.0f} G multiply-adds/s")
    head = "".join(f"{name:>12}" for name in ("output", "dx", "dw", "together"))
    print(f"{'bmm, share of that rate':<26}{head}")
    for workload in WORKLOADS:
        shares = product_shares(workload, rate)
        print(f"{workload.name:<26}" + "".join(f"{share:>12.2f}" for share in shares), flush=True)


def best(call: Callable[[], object]) -> float:
    """Return the fewest processor seconds of several calls."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return min(taken)


def fresh_memory() -> None:
    """Print what it takes to write memory for the first time, in small and in huge pages, and again."""
    like = torch.empty(0)
    held = torch.empty(FRESH_BYTES // 4).fill_(1)
    ways = {
        "written again": lambda: held.fill_(1),
        "fresh, huge pages": lambda: empty((FRESH_BYTES // 4,), like).fill_(1),
        "fresh, as torch.empty": lambda: torch.empty(FRESH_BYTES // 4).fill_(1),
    }
    print(f"{FRESH_BYTES >> 20} MB")
    for name, call in ways.items():
        seconds = best(call)
        print(f"{name:<26}{seconds * 1e3:>9.1f} ms{FRESH_BYTES / seconds / 1e9:>9.1f} GB/s")


def product_shares(workload: Workload, rate: float) -> list[float]:
    """Return torch's rate of the three products, all positions in one call, and of all three, as shares of `rate`."""
    spec = workload.spec
    count = int(np.prod(spec.output_size)) * spec.groups
    rows, inner, columns = workload.batch, spec.fan_in, spec.out_channels // spec.groups
    count = max(1, min(count, (1 << 26) // (inner * max(rows, columns))))
    x, w, dy = (torch.rand(count, *shape) for shape in ((rows, inner), (inner, columns), (rows, columns)))
    y, dx, dw = torch.empty_like(dy), torch.empty(count, inner, rows), torch.empty_like(w)
    seconds = [
        best(lambda: torch.bmm(x, w, out=y)),
        best(lambda: torch.bmm(w, dy.mT, out=dx)),
        best(lambda: torch.bmm(x.mT, dy, out=dw)),
    ]
    work = count * rows * inner * columns
    return [*(work / each / rate for each in seconds), 3 * work / sum(seconds) / rate]


if __name__ == "__main__":
    main()
