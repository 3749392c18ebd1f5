"""What a run over Dask costs beyond one machine's: `python benchmarks/dask_overhead.py -b 'numpy.*' --workers 1 2 4`.

A scheduler and workers (`lcl worker`) are started as processes on the loopback. `lcl run --dask` over N workers of J
jobs and `lcl run --jobs N*J` ask the same backends by turns; wall times are of the whole commands, medians of the
rounds. What both say of every cell is compared. Workers import their frameworks before anything is timed, as they do
in a real cluster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

LCL = [sys.executable, "-m", "lcl_ref"]
SCHEDULER = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
WAIT_SECONDS = 180


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process for a block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            yield running
        finally:
            running.terminate()


@contextmanager
def cluster(folder: Path, workers: int, jobs: int, only: Sequence[str]) -> Iterator[str]:
    """Run a scheduler and workers of so many jobs for a block; yield the address once all are there."""
    file = folder / f"scheduler-{workers}.json"
    with ExitStack() as stack:
        stack.enter_context(process(*SCHEDULER, "--scheduler-file", str(file)))
        deadline = time.monotonic() + WAIT_SECONDS
        while not (file.exists() and file.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        words = [*LCL, "worker", address, f"--jobs={jobs}", *(f"--only={one}" for one in only)]
        found = [stack.enter_context(process(*words, "--name", f"w{n}")) for n in range(workers)]
        for one in found:
            assert one.stdout is not None
            assert " offers " in one.stdout.readline(), "a worker did not start"
        yield address


def asked(folder: Path, *words: str) -> tuple[float, list[dict[str, Any]]]:
    """Return the seconds of a run, and the rows of its report but for their times."""
    file, began = folder / f"{'dask' if '--dask' in words else 'home'}.json", time.perf_counter()
    subprocess.run([*LCL, "run", *words, "--json", str(file), "-q"], check=False, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    rows = json.loads(file.read_text())["outcomes"]
    return seconds, [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def compared(folder: Path, workers: int, given: argparse.Namespace) -> None:
    """Print a line: N processes of one machine, and N workers."""
    words = [*(f"-b{name}" for name in given.backends or ["numpy.*"]), "--tier", given.tier, "--seed", "7"]
    words += [f"--dtype={name}" for name in given.dtypes]
    times: dict[str, list[float]] = {"home": [], "dask": []}
    rows: dict[str, list[dict[str, Any]]] = {}
    with cluster(folder, workers, given.jobs, given.only) as address:
        for number in range(given.rounds):
            for where in ("home", "dask") if number % 2 == 0 else ("dask", "home"):
                if where == "dask" or not given.alone:
                    more = ["--dask", address] if where == "dask" else ["--jobs", str(workers * given.jobs)]
                    seconds, rows[where] = asked(folder, *words, *more)
                    times[where].append(seconds)
    cells, dask = len(rows["dask"]), statistics.median(times["dask"])
    text = f"{workers} workers: {cells} cells, dask {dask:.1f} s"
    if not given.alone:
        home, same = statistics.median(times["home"]), sum(a == b for a, b in zip(*rows.values(), strict=True))
        text += f", home {home:.1f} s, ratio {dask / home:.3f}, {(dask - home) / cells * 1e3:+.2f} ms a cell, "
        text += f"{same} of {cells} cells equal"
    print(text, {name: [round(one, 1) for one in each] for name, each in times.items()}, flush=True)


def main() -> None:
    """Print a line per number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-b", dest="backends", action="append", default=[], help="numpy.* unless given")
    parser.add_argument("--tier", default="core")
    parser.add_argument("--dtype", dest="dtypes", action="append", default=[])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--jobs", type=int, default=1, help="of each worker, which share its cores")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", action="append", default=[], help="frameworks that workers offer; fewer start sooner")
    parser.add_argument("--alone", action="store_true", help="do not ask one machine")
    parser.add_argument("--reports", type=Path, help="a folder for the last reports")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for workers in given.workers:
            compared(given.reports or Path(temporary), workers, given)


if __name__ == "__main__":
    main()
