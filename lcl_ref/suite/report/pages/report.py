"""The page of a report: an overview that needs no script, and every cell with an address of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from typing import Any

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import STATES
from lcl_ref.suite.report.document import count_states
from lcl_ref.suite.report.looked_at import NARROW
from lcl_ref.suite.report.pages.cells import compact
from lcl_ref.suite.report.pages.rendering import rendered
from lcl_ref.suite.report.pages.runs import Row, by_backend, label, largest_ratio, runs

SCRIPTS = (
    "geometry.js",
    "picture.js",
    "planes.js",
    "spec.js",
    "store.js",
    "filters.js",
    "matrix.js",
    "cell.js",
    "report.js",
)

LISTED = 50
"""Wrong cells of one backend that are listed in full; all are among the cells."""


def page(document: Row, bits: Row | None = None) -> str:
    """Return the page of a report or of a merged one, in which a backend has a row per run.

    Parameters
    ----------
    document : mapping
        The report.
    bits : mapping, optional
        What was measured of reproducibility, as `lcl_ref.suite.report.bits.read` returns it.
    """
    ours = golden_data()
    asked = ours if document["suite"]["fixtures_sha256"] == ours.digest else None
    rows = by_backend(document)
    overview = [_overview(document, backend, rows) for backend in document["backends"]]
    return rendered(
        "report.html",
        SCRIPTS,
        compact(document, asked),
        runs=runs(document),
        digest=document["suite"]["fixtures_sha256"],
        summary=document["summary"],
        states=STATES,
        frameworks=_grouped(overview),
        narrow=[one for one in overview if (one["asked_share"] or 1) < NARROW],
        wrong=_wrong(rows),
        reasons=_reasons(rows),
        bits=bits,
    )


@cache
def golden_data() -> Store:
    """Return the golden data of this version."""
    return Store(default_root())


def _overview(document: Row, backend: Row, rows: dict[str, list[Row]]) -> dict[str, Any]:
    name = label(document, backend["name"], backend.get("run"))
    counts = count_states(row["state"] for row in rows[name])
    looked = {key: backend.get(key) for key in ("asked", "asked_share", "asked_fresh", "not_seen")}
    return {
        "name": name,
        "framework": backend["framework"],
        "version": backend["version"],
        "message": backend["message"] if backend["availability"] != "present" else "",
        "machine": backend.get("machine", ""),
        "counts": counts,
        "total": sum(counts.values()),
        "deviate": counts["fail"] + counts["error"],
        "ratio": largest_ratio(rows[name]),
        "seconds": sum(row["seconds"] for row in rows[name]),
        **looked,
    }


def _grouped(overview: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the backends by framework, in the order of the report."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in overview:
        groups[one["framework"]].append(one)
    return list(groups.items())


def _wrong(rows: dict[str, list[Row]]) -> list[tuple[str, int, list[Row]]]:
    """Return the backends that deviate: name, how many cells, and the first of them."""
    found = {name: [row for row in mine if row["state"] in ("fail", "error")] for name, mine in rows.items()}
    return [(name, len(mine), mine[:LISTED]) for name, mine in found.items() if mine]


def _reasons(rows: dict[str, list[Row]]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return each backend with why cells of it were not asked, the commonest reason first."""
    reasons = {
        name: Counter(row["message"] for row in mine if row["state"] in ("unsupported", "not_run"))
        for name, mine in rows.items()
    }
    return [(name, counted.most_common()) for name, counted in reasons.items() if counted]
