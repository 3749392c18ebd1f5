"""What ``lcl bench`` found, as a table, a JSON document, a plot, and exponents of growth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

import lcl_ref
from lcl_ref.suite.bench.machine import Machine
from lcl_ref.suite.bench.session import OPS, Measurement, Settings
from lcl_ref.suite.bench.workloads import FACTORS, Workload
from lcl_ref.suite.report import machine as machine_facts

FORMAT = "lcl-bench/1"


def table(workload: Workload, found: Sequence[Measurement], machine: Machine) -> Table:
    """Return one workload: a row per backend, fastest step first."""
    limits = {op: machine.limit(workload, op) for op in OPS}
    shown = " and ".join(f"{op} {limits[op] * 1e3:.2f} ms" for op in OPS)
    result = Table(
        title=f"{workload.name} (batch {workload.batch}): {escape(workload.source)}; limit {shown}",
        title_justify="left",
    )
    result.add_column("backend", overflow="fold")
    for op in OPS:
        for heading in (f"{op} ms", "spread", "x limit", "extra MB"):
            result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("error", no_wrap=True)
    timed = [measurement for measurement in found if not measurement.message]
    for measurement in sorted(timed, key=lambda each: each.median("step")):
        cells = [cell for op in OPS for cell in _cells(measurement, op, limits[op])]
        result.add_row(escape(measurement.backend), *cells, _error(measurement))
    return result


def _cells(measurement: Measurement, op: str, limit: float) -> list[str]:
    seconds, extra = measurement.seconds[op], measurement.extra_bytes.get(op)
    median = measurement.median(op)
    spread = f"{min(seconds) * 1e3:.2f}-{max(seconds) * 1e3:.2f}"
    return [f"{median * 1e3:.2f}", spread, f"{median / limit:.1f}", "?" if extra is None else f"{extra / 1e6:.0f}"]


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
                fits.append({"backend": backend, "series": series, "op": op, "exponent": _slope(pairs)})
    return fits


def _slope(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line."""
    middle_x = sum(x for x, _ in pairs) / len(pairs)
    middle_y = sum(y for _, y in pairs) / len(pairs)
    return sum((x - middle_x) * (y - middle_y) for x, y in pairs) / sum((x - middle_x) ** 2 for x, _ in pairs)


def document(
    found: Sequence[Measurement], workloads: Sequence[Workload], machine: Machine, settings: Settings
) -> dict[str, Any]:
    """Return everything as JSON-ready values."""
    return {
        "format": FORMAT,
        "suite": {"version": lcl_ref.__version__},
        "machine": machine_facts() | {"threads": settings.threads, "rates": machine.rates()},
        "workloads": [
            {
                "name": workload.name,
                "batch": workload.batch,
                "source": workload.source,
                "spec": workload.spec.to_dict(),
                "limit_seconds": {op: machine.limit(workload, op) for op in OPS},
            }
            for workload in workloads
        ],
        "measurements": [vars(measurement) for measurement in found],
        "growth": growth(found),
    }


def plot(path: Path, found: Sequence[Measurement], workloads: Sequence[Workload], machine: Machine) -> None:
    """Draw time / limit of every backend at every layer, or time over products of a scaling series, to a file."""
    import matplotlib as mpl  # noqa: PLC0415 -- needed for this alone

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 -- the same

    figure, axes = plt.subplots(1, len(OPS), figsize=(12, 5), sharey=True, layout="constrained")
    limits = {(workload.name, op): machine.limit(workload, op) for workload in workloads for op in OPS}
    for axis, op in zip(axes, OPS, strict=True):
        for backend in dict.fromkeys(each.backend for each in found):
            points = [each for each in found if each.backend == backend and each.seconds[op]]
            scaled = [each.median(op) / limits.get((each.workload, op), 1.0) for each in points]
            labels = [each.workload if not each.factor else f"{each.workload} x{each.factor}" for each in points]
            axis.plot(labels, scaled, marker="o", label=backend)
        axis.set(title=op, yscale="log", ylabel="time / limit" if limits else "seconds")
        axis.tick_params(axis="x", rotation=60)
    axes[-1].legend(fontsize="small")
    figure.savefig(path)
    plt.close(figure)
