"""The page of two reports side by side: what became of each backend, and every cell that changed, with its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lcl_ref.suite.report.document import count_states
from lcl_ref.suite.report.merge import WORSE, Difference, Key
from lcl_ref.suite.report.pages.rendering import rendered
from lcl_ref.suite.report.pages.runs import Row, by_backend, runs

LISTED = 2000
"""Cells of one kind of change that a page lists."""


def comparison_page(found: Difference) -> str:
    """Return the page of what changed from one report to another."""
    ordered = sorted(found.changes.items(), key=lambda change: change[0] not in WORSE)
    before, after = (by_backend(document) for document in (found.before, found.after))
    return rendered(
        "comparison.html",
        ["list.js"],
        None,
        reports=[("before", runs(found.before)), ("after", runs(found.after))],
        digest=found.after["suite"]["fixtures_sha256"],
        backends=[_backend(name, before.get(name), after.get(name)) for name in after | before],
        changes=[_change(name, cells) for name, cells in ordered],
    )


def _backend(name: str, before: list[Row] | None, after: list[Row] | None) -> dict[str, Any]:
    return {"name": name, "before": _counts(before), "after": _counts(after)}


def _counts(rows: list[Row] | None) -> dict[str, int] | None:
    if rows is None:
        return None
    counts = count_states(row["state"] for row in rows)
    return counts | {"deviate": counts["fail"] + counts["error"]}


def _change(name: str, cells: list[tuple[Key, Row | None, Row | None]]) -> dict[str, Any]:
    rows = [_cell(key, old, new) for key, old, new in cells[:LISTED]]
    return {"name": name, "worse": name in WORSE, "count": len(cells), "cells": rows}


def _cell(key: Key, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    *run, backend, case, op, dtype = key
    name = f"{backend} on {run[0]}" if run else backend
    return {
        "address": f"{name}/{case}/{op}/{dtype}",
        "words": (name, case, op, dtype),
        "was": old["state"] if old else "absent",
        "now": new["state"] if new else "absent",
        "said": [row["message"] if row else "" for row in (old, new)],
        "mistake": (new or {}).get("diagnosis"),
    }
