"""What ``lcl bench`` found, as a table, a JSON document, a plot, and exponents of growth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

import lcl_ref
from lcl_ref.bench.machine import Machine
from lcl_ref.bench.regression import FORMAT
from lcl_ref.bench.session import OPS, TRAIN, Measurement, Settings
from lcl_ref.bench.workloads import FACTORS, Workload
from lcl_ref.outside.writing import replacing
from lcl_ref.suite.report.document import machine as machine_facts

LEAST_SECONDS = 1e-3
"""Layers with a limit below this are left out of the means: there, the overhead of calls rules."""


def table(workload: Workload, found: Sequence[Measurement], machine: Machine) -> Table:
    """Return one workload: a row per backend, fastest step first."""
    limits = {op: machine.limit(workload, op) for op in OPS}
    shown = " and ".join(f"{op} {limits[op] * 1e3:.2f} ms" for op in OPS)
    result = Table(
        title=f"{workload.name} (batch {workload.batch}): {escape(workload.source)}; limit {shown}",
        title_justify="left",
    )
    result.add_column("backend (* published)", overflow="fold")
    for op in OPS:
        for heading in (f"{op} ms", "spread", "x limit", "cold", "x publ.", "+MB"):
            result.add_column(heading, justify="right", no_wrap=True)
    for heading in (f"{TRAIN} ms", "x limit", "cold"):
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("error", no_wrap=True)
    best = {op: best_published(found, op) for op in OPS}
    for measurement in sorted(_timed(found), key=lambda each: each.median("step")):
        cells = [cell for op in OPS for cell in _cells(measurement, op, best[op])]
        name = escape(measurement.backend) + " *" * measurement.published
        result.add_row(name, *cells, *_train(measurement), _error(measurement))
    return result


def _timed(found: Sequence[Measurement]) -> list[Measurement]:
    return [measurement for measurement in found if not measurement.message]


def _right(found: Sequence[Measurement]) -> list[Measurement]:
    """Return those that were timed and did not answer wrongly."""
    return [each for each in _timed(found) if each.error_ratio is not None and each.error_ratio <= 1]


def best_published(found: Sequence[Measurement], op: str) -> Measurement | None:
    """Return the fastest published layer of one workload that answers rightly; None without any."""
    known = [measurement for measurement in _right(found) if measurement.published]
    return min(known, key=lambda each: each.median(op), default=None)


def _cells(measurement: Measurement, op: str, best: Measurement | None) -> list[str]:
    seconds, extra = measurement.seconds[op], measurement.extra_bytes.get(op)
    median = measurement.median(op)
    return [
        f"{median * 1e3:.2f}",
        f"{100 * (max(seconds) - min(seconds)) / median:.0f} %",
        *_over_limit(measurement, op),
        "-" if best is None else f"{measurement.over(op, best.seconds[op]):.2f}",
        "?" if extra is None else f"{extra / 1e6:.0f}",
    ]


def _over_limit(measurement: Measurement, op: str) -> list[str]:
    """Return the multiples of the limit, warm and cold."""
    return [f"{measurement.over(op, measurement.limits[op], cold=cold):.1f}" for cold in (False, True)]


def _train(measurement: Measurement) -> list[str]:
    if not measurement.seconds[TRAIN]:
        return ["-"] * 3
    return [f"{measurement.median(TRAIN) * 1e3:.2f}", *_over_limit(measurement, TRAIN)]


def summary(
    found: Sequence[Measurement], workloads: Sequence[Workload], machine: Machine, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return per recommended backend and operation how near the limit it is, and its worst ratio to a peer.

    ``limit_ratio`` is the geometric mean over the workloads whose limit is `LEAST_SECONDS` or more; peers are the right
    answers of the same framework, published layers among them.
    """
    return [
        {"backend": name, "op": op} | _means(found, workloads, machine, name, op)
        for name in names
        for op in OPS
        if any(each.backend == name for each in _timed(found))
    ]


def _means(
    found: Sequence[Measurement], workloads: Sequence[Workload], machine: Machine, name: str, op: str
) -> dict[str, Any]:
    logs: list[float] = []
    ratios: list[tuple[float, str, str]] = []
    for workload in workloads:
        here = [each for each in _right(found) if each.workload == workload.name]
        mine = next((each for each in here if each.backend == name), None)
        if mine is None:
            continue
        if machine.limit(workload, op) >= LEAST_SECONDS:
            logs.append(math.log(mine.over(op, mine.limits[op])))
        peers = (each for each in here if each.family == mine.family and each is not mine)
        ratios.extend((mine.over(op, peer.seconds[op]), peer.backend, workload.name) for peer in peers)
    mean = math.exp(sum(logs) / len(logs)) if logs else None
    worst = dict(zip(("peer_ratio", "peer", "peer_workload"), max(ratios, default=(None, "", "")), strict=True))
    return {"limit_ratio": mean, "workloads": len(logs)} | worst


def _error(measurement: Measurement) -> str:
    if measurement.error_ratio is None:
        return "?"
    return (
        f"{measurement.error_ratio:.2f}"
        if measurement.error_ratio <= 1
        else f"[red]WRONG {measurement.error_ratio:.3g}[/]"
    )


def growth(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return per backend, series and operation the exponent of time in products, fitted to the medians (log-log)."""
    keys = {(each.backend, each.workload): None for each in found if not each.message}
    fits = []
    for backend, series in keys:
        points = [each for each in found if (each.backend, each.workload) == (backend, series) and not each.message]
        for op in OPS:
            pairs = [(math.log(each.products), math.log(each.median(op))) for each in points]
            if len(pairs) == len(FACTORS):
                slope = statistics.linear_regression(*zip(*pairs, strict=True)).slope
                fits.append({"backend": backend, "series": series, "op": op, "exponent": slope})
    return fits


def document(
    found: Sequence[Measurement],
    workloads: Sequence[Workload],
    machine: Machine,
    settings: Settings,
    recommended: Sequence[str],
) -> dict[str, Any]:
    """Return everything as JSON-ready values."""
    return {
        "format": FORMAT,
        "suite": {"version": lcl_ref.__version__},
        "machine": machine_facts() | {"threads": settings.threads, "clock": settings.clock, "rates": machine.rates()},
        "workloads": [
            {
                "name": workload.name,
                "batch": workload.batch,
                "source": workload.source,
                "spec": workload.spec.to_dict(),
                "limit_seconds": {op: machine.limit(workload, op) for op in OPS},
                "best_published": {
                    op: best.backend
                    for op in OPS
                    if (best := best_published([each for each in found if each.workload == workload.name], op))
                },
            }
            for workload in workloads
        ],
        "measurements": [
            vars(measurement) | {"state": "not_run" if measurement.message else "measured"} for measurement in found
        ],
        "summary": summary(found, workloads, machine, recommended),
        "growth": growth(found),
    }


def plot(path: Path, found: Sequence[Measurement], workloads: Sequence[Workload]) -> None:
    """Draw time / limit of every backend at every layer, or time over products of every series, to a file."""
    import matplotlib as mpl  # noqa: PLC0415 -- needed for this alone

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 -- the same

    columns = [workload.name for workload in workloads] or list(dict.fromkeys(each.workload for each in found))
    shape = (1, len(OPS)) if workloads else (len(OPS), len(columns))
    figure, axes = plt.subplots(*shape, figsize=(12, 5 * shape[0]), sharey="row", layout="constrained", squeeze=False)
    backends = list(dict.fromkeys(each.backend for each in _timed(found)))
    colours = {backend: plt.get_cmap("turbo")(number / len(backends)) for number, backend in enumerate(backends)}
    for row, op in enumerate(OPS):
        if workloads:
            _draw_layers(axes[0, row], op, found, workloads, colours)
            continue
        for axis, series in zip(axes[row], columns, strict=True):
            _draw_series(axis, op, [each for each in found if each.workload == series], colours)
    axes[-1, -1].legend(fontsize="xx-small")
    with replacing(path) as (file,):
        figure.savefig(file, format=path.suffix.removeprefix(".") or "png")
    plt.close(figure)


def _draw_layers(
    axis: Any,
    op: str,
    found: Sequence[Measurement],
    workloads: Sequence[Workload],
    colours: dict[str, Any],
) -> None:
    """Draw time / limit, a line per backend; dashed where published."""
    places = {workload.name: number for number, workload in enumerate(workloads)}
    for backend, colour in colours.items():
        points = [each for each in _timed(found) if each.backend == backend]
        across = [places[each.workload] for each in points]
        style = "--" if points[0].published else "-"
        ratios = [each.over(op, each.limits[op]) for each in points]
        axis.plot(across, ratios, style, marker="o", color=colour, label=backend)
    axis.set(title=op, yscale="log", ylabel="time / limit")
    axis.set_xticks(range(len(places)), list(places), rotation=60)


def _draw_series(axis: Any, op: str, found: Sequence[Measurement], colours: dict[str, Any]) -> None:
    """Draw seconds over products, a line per backend, with its exponent."""
    exponents = {fit["backend"]: fit["exponent"] for fit in growth(found) if fit["op"] == op}
    for backend, colour in colours.items():
        points = [each for each in _timed(found) if each.backend == backend]
        if points:
            label = f"{backend}: {exponents[backend]:.2f}" if backend in exponents else backend
            pairs = zip(*((each.products, each.median(op)) for each in points), strict=True)
            axis.plot(*pairs, marker="o", color=colour, label=label)
    name = found[0].workload if found else ""
    axis.set(title=f"{op}, growing {name}", xscale="log", yscale="log", xlabel="multiply-adds", ylabel="seconds")
    axis.legend(fontsize="xx-small")
