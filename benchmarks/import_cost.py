"""What `import lcl_ref` costs beyond `import numpy`, in fresh interpreters: `python benchmarks/import_cost.py`.

Judged by processor time, which other work on the machine leaves alone; on a quiet machine the wall clock agrees.
Exit status 1 where it costs more than the limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

PROGRAMS = {"python alone": "pass", "import numpy": "import numpy", "import lcl_ref": "import lcl_ref"}
LIMIT_MS = 60.0
ROUNDS = 15


@dataclass(frozen=True)
class Cost:
    """Milliseconds of one run of a program."""

    processor: float
    wall: float


def run(program: str) -> Cost:
    """Run `program` in a fresh interpreter; one thread, so that processor time is not that of idle BLAS threads."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{program!r} ended with exit status {process.returncode}")
    return Cost((usage.ru_utime + usage.ru_stime) * 1e3, wall * 1e3)


def measure(rounds: int = ROUNDS) -> dict[str, list[Cost]]:
    """Run the programs in turn, so that a slow moment meets all of them; a first round warms the disk cache."""
    for program in PROGRAMS.values():
        run(program)
    costs: dict[str, list[Cost]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            costs[name].append(run(program))
    return costs


def beyond_numpy(costs: dict[str, list[Cost]]) -> Cost:
    """Return the median over rounds of what `import lcl_ref` took beyond `import numpy` in the same round."""
    pairs = list(zip(costs["import lcl_ref"], costs["import numpy"], strict=True))
    return Cost(median(a.processor - b.processor for a, b in pairs), median(a.wall - b.wall for a, b in pairs))


def main() -> int:
    """Measure, print the table, return the exit status."""
    costs = measure()
    print(f"{'median ms of ' + str(ROUNDS) + ' rounds':<28}{'processor':>10}{'wall':>10}")
    for name, values in costs.items():
        print(f"{name:<28}{median(c.processor for c in values):>10.1f}{median(c.wall for c in values):>10.1f}")
    extra = beyond_numpy(costs)
    kept = extra.processor <= LIMIT_MS
    print(f"{'lcl_ref beyond numpy':<28}{extra.processor:>10.1f}{extra.wall:>10.1f}")
    print(f"limit {LIMIT_MS:.0f} ms of processor time: {'kept' if kept else 'broken'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
