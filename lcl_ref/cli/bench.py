"""``lcl bench``: speed and memory of backends at named layers, beside the machine's limit."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lcl_ref.bench import published as layers
from lcl_ref.bench import regression, tables
from lcl_ref.bench.machine import CLOCKS
from lcl_ref.bench.session import Measurement, Session, Settings
from lcl_ref.bench.workloads import FACTORS, SERIES, WORKLOADS, Workload
from lcl_ref.cli.console import console, errors
from lcl_ref.cli.options import SourceFile, TargetFile
from lcl_ref.suite.report import document
from lcl_ref.suite.run.loading import BackendRef, resolve
from lcl_ref.suite.run.registered import registered
from lcl_ref.suite.run.registry import readable_declarations

MODULES = ("torch.layer", "flax.nnx_layer", "mlx.layer", "keras3.layer")
"""The layers as users call them: modules, differentiated by their framework."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command()
@click.option(
    "-b",
    "--backend",
    "--only",
    "only",
    multiple=True,
    metavar="BACKEND",
    help="These backends and published layers, as for lcl run; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="All registered backends and published layers.")
@click.option(
    "--workload", "wanted", multiple=True, metavar="GLOB", help="Only layers whose name matches; may be repeated."
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=cores,
    show_default="all cores",
    help="Threads, and cores, that each backend may use.",
)
@click.option("--rounds", type=click.IntRange(2), default=5, show_default=True, help="Turns each backend takes.")
@click.option("--seconds", type=float, default=6.0, show_default=True, help="Time of a backend at one layer, roughly.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds one call may take.")
@click.option(
    "--clock",
    type=click.Choice(list(CLOCKS)),
    default="wall",
    show_default=True,
    help="What is counted; processor time, of all threads of a backend, on a machine that others use as well.",
)
@click.option("--scaling", is_flag=True, help="Instead of the layers: growth in batch, positions and channels.")
@click.option("--json", "json_file", type=TargetFile(), help="Write all numbers here.")
@click.option("--against", type=SourceFile(), help="Compare with what --json wrote before; status 4 if slower.")
@click.option("--control", metavar="BACKEND", help="Compare as multiples of this backend's time, not of the limit.")
@click.option("--slack", type=float, default=0.25, show_default=True, help="Growth of a ratio that is let pass.")
@click.option("--plot", "plot_file", type=TargetFile(), help="Draw them here (matplotlib).")
def bench(
    only: Sequence[str],
    everything: bool,
    wanted: Sequence[str],
    threads: int,
    rounds: int,
    seconds: float,
    timeout: float,
    clock: str,
    scaling: bool,
    json_file: Path | None,
    against: Path | None,
    control: str | None,
    slack: float,
    plot_file: Path | None,
) -> int:
    """Time forward and training step, alternating backends, as multiples of the machine's limit.

    Measured by default: the recommended backend of each framework, its layers as users call them, and the layers that
    people install (marked *; those of benchmarks/published need `make published` once). The limit is the memory traffic
    (weights read once, in a step their gradient written once) or the arithmetic, whichever is slower, at the rates of
    all cores used, measured in the same run; "x publ." is the ratio to the fastest published layer that answers
    rightly; "cold" is over the limit again, where nothing is in a cache before a call; "train" is a step with an
    optimiser. Times include the way in from NumPy. Exit status: 0 measured, 1 an answer was wrong, 2 wrong input, 3
    nothing was measured, 4 slower than --against by more than the slack.
    """
    before = None if against is None else regression.read(against)
    settings = Settings(rounds, seconds, threads, timeout, clock)
    named, refs = [] if scaling else _chosen(wanted), _refs(only, everything, published=not scaling)
    tasks = (
        [(make(factor), factor) for make in SERIES.values() for factor in FACTORS]
        if scaling
        else [(w, 0) for w in named]
    )
    found: list[Measurement] = []
    out = console()
    with (
        errors().status("starting") as status,
        Session(refs, settings, status.update) as session,
    ):
        for workload, factor in tasks:
            measured = list(session.measure(workload, factor))
            found += measured
            if not scaling:
                out.print(tables.table(workload, measured, session.machine))
                for each in (each for each in measured if each.message):
                    out.print(f"  {each.backend}: not run: {each.message}", style="dim", highlight=False)
        for fit in tables.growth(found) if scaling else ():
            out.print("{backend}: {op} grows as {series}^{exponent:.2f}".format(**fit), highlight=False)
        recommended = [ref.name for ref in refs if ref.target in recommended_names()]
        for line in tables.summary(found, named, session.machine, recommended) if named else ():
            out.print(_sentence(line), highlight=False)
        numbers = tables.document(found, named, session.machine, settings, recommended)
        if json_file:
            document.write_json(json_file, numbers)
        if plot_file:
            tables.plot(plot_file, found, named)
    return _status(found) or (4 if before and _slower(out, numbers, before, control, slack) else 0)


def _slower(out: Console, new: Any, old: Any, control: str | None, slack: float) -> bool:
    """Print what has grown by more than the slack, and return whether anything has."""
    measure, found = control or "limit", regression.changes(new, old, control)
    grown = [change for change in found if change.factor > 1 + slack]
    for each in grown:
        ratios = f"{each.new:.2f} x {measure}, was {each.old:.2f}: {each.factor:.2f} times as long"
        out.print(f"{each.backend} {each.workload} {each.op}: {ratios}", style="red", highlight=False)
    out.print(f"{len(grown)} of {len(found)} ratios grew by more than {100 * slack:.0f} %", highlight=False)
    return bool(grown)


def _chosen(wanted: Sequence[str]) -> list[Workload]:
    """Return the layers that match; none is an error."""
    chosen = [w for w in WORKLOADS if not wanted or any(fnmatch.fnmatchcase(w.name, pattern) for pattern in wanted)]
    if not chosen:
        raise click.BadParameter(
            f"no layer matches; there are {', '.join(w.name for w in WORKLOADS)}", param_hint="--workload"
        )
    return chosen


def _refs(only: Sequence[str], everything: bool, published: bool) -> list[BackendRef]:
    """Return the backends to measure; words of `--only` may also name published layers."""
    known = {ref.name: ref for ref in layers.refs()}
    if only:
        named = [ref for name, ref in known.items() if _matches(name, only)]
        installed = registered()
        others = [word for word in only if not _any(known, word) or _any(installed, word)]
        return list({ref.name: ref for ref in (*(resolve(others) if others else []), *named)}.values())
    chosen = _all_names() if everything else [*recommended_names(), *MODULES]
    refs = {ref.name: ref for ref in resolve(chosen) if ref.name in chosen}
    return list((refs | known if published or everything else refs).values())


def _all_names() -> list[str]:
    """Return every registered backend but those that only their own name selects."""
    return sorted(registered().keys() - {one.name for one in readable_declarations() if one.by_name})


def recommended_names() -> list[str]:
    """Return the route to use of each framework: measured by default, beside the published layers."""
    return [declaration.name for declaration in readable_declarations() if declaration.recommended]


def _any(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _sentence(line: dict[str, Any]) -> str:
    """Return one line of the summary in words."""
    near = f"{line['limit_ratio']:.1f} x limit ({line['workloads']} layers)" if line["workloads"] else "no large layer"
    peer = f"; at worst {line['peer_ratio']:.2f} x {line['peer']} ({line['peer_workload']})" if line["peer"] else ""
    return f"{line['backend']} {line['op']}: {near}{peer}"


def _status(found: Sequence[Measurement]) -> int:
    timed = [each for each in found if not each.message]
    if not timed:
        return 3
    return int(any(each.error_ratio is None or each.error_ratio > 1 for each in timed))
