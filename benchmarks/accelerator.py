"""The layer on an accelerator, beside the ways around it: ``python benchmarks/accelerator.py --json accelerator.json``.

One prepared run, of `--minutes` at most: milliseconds of forward and of a training step (gradients and a step of plain
descent), medians of shuffled rounds, each waited for; and which share of the measured bandwidth the least traffic of
that time is (weights read once; in a step their gradient written, then both read and the weights written). Beside
`lcl_ref.layers`, by every plan that its device has: for torch, unfold + bmm and grouped convolution; for JAX,
`conv_general_dilated_local` and windows by one gather. Before anything is timed, numbers of its results are compared
with the specification. What raises, is late, ends its process or is wrong has a message in the place of a time, and
costs the others nothing; the file is written after each layer. Without an accelerator it runs small layers on the
processor, which proves the script and nothing else.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lcl_ref import __version__
from lcl_ref.bench.workloads import WORKLOADS
from tools.on_device.session import Asked, Line, lines_of

FRAMEWORKS = {"torch": "tools.on_device.frameworks:Torch", "jax": "tools.on_device.frameworks:Jax"}

SMALL = 20_000_000
"""Multiply-adds of the layers that a processor is given."""


def arguments(words: list[str]) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--framework", action="append", help="torch, jax, or MODULE:NAME of another; both by default")
    parser.add_argument("--workload", action="append", choices=names, help="a layer of `lcl bench`; all by default")
    parser.add_argument("--dtype", action="append", choices=["float32", "bfloat16"], help="both by default")
    parser.add_argument("--rounds", type=int, default=11, help="calls that a time is the median of (11)")
    parser.add_argument("--minutes", type=float, default=9, help="nothing is begun later (9)")
    parser.add_argument(
        "--limit", type=float, default=60, help="seconds that a contestant may take to compile and run (60)"
    )
    parser.add_argument("--json", type=Path, help="write what was measured here, after each layer")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    """Ask each framework in its share of the time, print the table, and write it."""
    given = arguments(words)
    names, end = given.framework or list(FRAMEWORKS), time.monotonic() + 60 * given.minutes
    written: dict[str, Any] = {"format": 1, "lcl_ref": __version__, "python": platform.python_version()}
    written |= {"machine": platform.platform(), "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "arguments": words}
    written |= {"frameworks": {}, "lines": []}
    for number, name in enumerate(names):
        now = time.monotonic()
        session(name, given, now + (end - now) / (len(names) - number), written)


def session(name: str, given: argparse.Namespace, until: float, written: dict[str, Any]) -> None:
    """Ask one framework about every layer, and write after each."""
    asked = Asked(FRAMEWORKS.get(name, name), given.limit)
    written["frameworks"][name] = asked.facts
    write(written, given.json)
    if "refused" in asked.facts:
        print(f"{name}: {asked.facts['refused']}", flush=True)
        return
    print(
        f"{name} on {asked.facts['device']}: copies move {asked.facts['bytes_per_second'] / 1e9:.0f} GB/s", flush=True
    )
    small = asked.facts["on_processor"] and not given.workload
    chosen = [each for each in WORKLOADS if each.name in (given.workload or [each.name])]
    chosen = [each for each in chosen if not small or each.products < SMALL]
    for workload in chosen:
        for dtype in given.dtype or ["float32", "bfloat16"]:
            for line in lines_of(asked, name, workload.name, dtype, given.rounds, until):
                written["lines"].append(asdict(line))
                show(line)
            write(written, given.json)
    asked.close()


def show(line: Line) -> None:
    """Print a line."""
    said = (
        [] if line.milliseconds is None else [f"{line.milliseconds:9.3f} ms {100 * (line.bandwidth_share or 0):5.1f} %"]
    )
    said += [line.message.splitlines()[0][:200]] if line.message else []
    print(f"{line.workload:14} {line.dtype:8} {line.op:8} {line.contestant:20} {'; '.join(said)}", flush=True)


def write(document: dict[str, Any], path: Path | None) -> None:
    """Write a document whole or not at all."""
    if path is not None:
        beside = path.with_name(path.name + ".part")
        beside.write_text(json.dumps(document, indent=1))
        beside.replace(path)


if __name__ == "__main__":
    main(sys.argv[1:])
