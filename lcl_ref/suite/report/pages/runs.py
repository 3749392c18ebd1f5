"""The runs of a report, and its rows with names that tell the runs apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]


def runs(document: Row) -> list[dict[str, Any]]:
    """Return the runs of a report, single or merged, each with label, version, date and machine."""
    if "runs" in document:
        return list(document["runs"])
    known = {name: document[name] for name in _OF_A_RUN if name in document}
    return [{"label": "", "version": document["suite"]["version"], **known}]


_OF_A_RUN = ("date", "machine", "machines")


def label(document: Row, name: str, run: str | None) -> str:
    """Return how a backend is called on the page: with its run, where there is more than one."""
    return f"{name} on {run}" if len(runs(document)) > 1 else name


def by_backend(document: Row) -> dict[str, list[Row]]:
    """Return the rows of each backend of a report, by its name on the page."""
    found: dict[str, list[Row]] = {
        label(document, backend["name"], backend.get("run")): [] for backend in document["backends"]
    }
    several = len(runs(document)) > 1
    for row in document["outcomes"]:
        found[f"{row['backend']} on {row['run']}" if several else row["backend"]].append(row)
    return found


def largest_ratio(rows: Iterable[Row]) -> float | None:
    """Return the largest error of right answers as a share of its limit; None where none was compared."""
    ratios = [row["error_ratio"] for row in rows if row["state"] == "pass" and row["error_ratio"] is not None]
    return max(ratios, default=None)
