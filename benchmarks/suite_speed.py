"""What the suite itself costs: start-up, cells per second, growth with the catalogue, and checking the golden data.

    python benchmarks/suite_speed.py [BACKEND]...

Backends are asked the cells of the core tier once, twice and four times over, as if the catalogue were so much longer,
and the exponent of growth is fitted (log-log) to what the cells take. All figures are processor seconds of this process
and those it starts, which other work on the machine hardly touches; wall clocks are beside them.
"""

from __future__ import annotations

import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.run.cells import make_plan, supports
from lcl_ref.suite.run.loading import BackendRef, load, resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings

BACKENDS = ("numpy.matmul", "torch.fast", "mlx.windows")
TIMES = (1, 2, 4)
COMMANDS = (
    ["backends"],
    ["run", "-b", "numpy.matmul", "--tier", "smoke"],
    ["fixtures", "verify"],
    ["fixtures", "check"],
)


@dataclass(frozen=True)
class Cost:
    """Processor and wall-clock seconds."""

    processor: float
    wall: float


def cost(work: Callable[[], object]) -> Cost:
    """Return what `work` takes, processes it starts and ends included."""
    before, began = processor_seconds(), time.perf_counter()
    work()
    return Cost(processor_seconds() - before, time.perf_counter() - began)


def processor_seconds() -> float:
    """Return the processor seconds of this process and of its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ask(ref: BackendRef, cells: list[Cell], data: Path) -> None:
    """Ask a backend in a worker of its own; all must conform or be declared unsupported."""
    with MatrixRun({ref: cells}, Settings(data, jobs=1, timeout=60.0)) as matrix:
        states = {event.state for event in matrix if isinstance(event, Outcome)}
    if states - {"pass", "unsupported"}:
        sys.exit(f"{ref.name}: {', '.join(sorted(states))}")


def main() -> None:
    """Print both tables."""
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{'command':<40}{'processor s':>12}{'wall s':>9}")
    for words in COMMANDS:
        command = [sys.executable, "-m", "lcl_ref", *words]
        took = cost(lambda command=command: subprocess.run(command, capture_output=True, check=True))
        print(f"{'lcl ' + ' '.join(words):<40}{took.processor:>12.2f}{took.wall:>9.2f}", flush=True)
    data = fixtures.default_root()
    store = Store(data)
    names = sys.argv[1:] or BACKENDS
    print(f"\n{'backend':<24}{'start s':>9}{'cells':>7}" + "".join(f"{f'x{k} s':>9}" for k in TIMES), end="")
    print(f"{'cells/s':>9}{'exponent':>10}")
    for ref in resolve(list(names)):
        plan = make_plan([ref], store, in_tier("core"))
        limits = load(ref).declaration.capabilities
        cells = [cell for cell in plan[ref] if supports(limits, cell, store)]
        start = cost(lambda ref=ref, cells=cells: ask(ref, cells[:1], data)).processor
        took = [cost(lambda ref=ref, many=cells * k: ask(ref, many, data)).processor - start for k in TIMES]
        row = f"{ref.name:<24}{start:>9.2f}{len(cells):>7}" + "".join(f"{seconds:>9.2f}" for seconds in took)
        fit = statistics.linear_regression(list(map(math.log, TIMES)), list(map(math.log, took))).slope
        print(f"{row}{TIMES[-1] * len(cells) / took[-1]:>9.0f}{fit:>10.2f}", flush=True)


if __name__ == "__main__":
    main()
