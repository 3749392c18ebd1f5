"""The page of many reports: a column per date, a row per backend, and what changed in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lcl_ref.suite.report.history import Entry, Step, steps
from lcl_ref.suite.report.merge import WORSE
from lcl_ref.suite.report.pages.rendering import rendered

LISTED = 100
"""Cells of one kind of change that a page lists."""


def history_page(entries: Sequence[Entry]) -> str:
    """Return the page of reports, oldest first."""
    backends = list(dict.fromkeys(name for entry in reversed(entries) for name in entry.versions))
    return rendered(
        "history.html",
        [],
        None,
        entries=[{"label": one.label, "date": one.date, "counts": _counts(one)} for one in entries],
        backends=[{"name": name, "cells": [_cell(entry, name) for entry in entries]} for name in sorted(backends)],
        steps=[_step(step) for step in reversed([*steps(entries)])],
    )


def _counts(entry: Entry, backend: str | None = None) -> dict[str, Any] | None:
    counts = entry.counts(backend)
    return counts and {**counts, "deviate": counts["fail"] + counts["error"], "total": sum(counts.values())}


def _cell(entry: Entry, backend: str) -> dict[str, Any]:
    return {"version": entry.versions.get(backend, ""), "counts": _counts(entry, backend)}


def _step(step: Step) -> dict[str, Any]:
    ordered = sorted(step.changes.items(), key=lambda change: change[0] not in WORSE)
    versions = [
        f"{name}: {step.before.versions[name]} → {version}"
        for name, version in step.after.versions.items()
        if step.before.versions.get(name, version) != version
    ]
    changes = [
        {
            "name": name,
            "worse": name in WORSE,
            "count": len(cells),
            "cells": [" ".join(cell) for cell in cells[:LISTED]],
        }
        for name, cells in ordered
    ]
    names = {"before": step.before.label, "after": step.after.label, "date": step.after.date}
    return names | {"same_data": step.same_data, "versions": versions, "changes": changes}
