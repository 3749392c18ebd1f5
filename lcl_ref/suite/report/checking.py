"""Whether a report can be what a run wrote: what contradicts itself, the golden data, or the rules of a verdict."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.choosing import chosen
from lcl_ref.suite.diagnosis.deviations import CATALOGUE
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.drawn_cases import existing, is_fresh
from lcl_ref.suite.run.ladder import climb
from lcl_ref.suite.run.loading import BackendRef, Kind

Row = Mapping[str, Any]

ANSWERED = ("pass", "fail", "error")

KINDS: tuple[Kind, ...] = ("registered", "file")
"""Kinds of backends, one for each choice of dtypes that is made where the user makes none."""


def contradictions(report: Mapping[str, Any], store: Store | None) -> list[Violation]:
    """Return what is wrong with a merged report, a line per rule and place.

    Parameters
    ----------
    report : mapping
        The report, or several merged, as `lcl_ref.suite.report.merge.read` returns it.
    store : Store or None
        The golden data of its run; without it, cells are not compared with the index.
    """
    found = [*_dates(report), *_backends(report, ours=store is not None)]
    for row in report["outcomes"]:
        text = _row(row) or (_against_index(row, store) if store is not None else "")
        if text:
            found.append(_wrong("row", " ".join(row[name] for name in ("backend", "case", "op", "dtype")), *text))
    return found


def _wrong(rule: str, what: str, got: str, expected: str) -> Violation:
    return Violation(f"report/{rule}", what, got, expected)


def _dates(report: Mapping[str, Any]) -> Iterator[Violation]:
    for run in report["runs"]:
        try:
            late = datetime.fromisoformat(run["date"]) > datetime.now(UTC) + timedelta(days=1)
        except (ValueError, TypeError):
            late = True
        if late:
            yield _wrong("date", "date", repr(run["date"]), "a date with its time zone, that has been")


def _backends(report: Mapping[str, Any], *, ours: bool) -> Iterator[Violation]:
    """Hold what a report says of its backends against their rows, and against what is known where the data is ours."""
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in report["outcomes"]:
        rows[row["run"], row["backend"]].append(row)
    twice = [
        key for key, count in Counter((one["run"], one["name"]) for one in report["backends"]).items() if count > 1
    ]
    for run, name in twice:
        yield _wrong("backend", f"{name} of {run}", "listed twice", "each backend once")
    others = {run["label"]: run.get("machines", {}) for run in report["runs"]}
    for one in report["backends"]:
        if one.get("machine", "") not in {"", *others[one["run"]]}:
            yield _wrong("machine", one["name"], f"machine {one['machine']}", "one that its run lists")
        mine = rows[one["run"], one["name"]]
        states = {row["state"] for row in mine}
        legal = {"missing": {"not_run"}, "broken": {"error", "not_run"}}.get(one["availability"], states)
        if not states <= legal:
            got = f"{', '.join(sorted(states - legal))} of a backend that was {one['availability']}"
            yield _wrong("backend", one["name"], got, f"only {' or '.join(sorted(legal))}")
        yield from _counts(one, mine)
        unknown = {*one.get("not_seen", ())} - {deviation.id for deviation in CATALOGUE}
        if unknown and ours:
            yield _wrong(
                "not-seen", f"{one['name']}: not_seen", min(unknown), "a known mistake, as `lcl mutants` lists"
            )


def _counts(backend: Row, rows: Sequence[Row]) -> Iterator[Violation]:
    if "asked" not in backend:
        return
    golden = [row for row in rows if row["case"] not in CHECKS and not is_fresh(row["case"])]
    asked = sum(row["state"] in ANSWERED for row in golden)
    fresh = sum(row["state"] in ANSWERED and is_fresh(row["case"]) for row in rows)
    share = asked / len(golden) if golden else None
    right = {"asked": asked, "asked_fresh": fresh, "asked_share": share}
    for name, value in right.items():
        if name in backend and backend[name] != value:
            yield _wrong("arithmetic", f"{backend['name']}: {name}", str(backend[name]), f"{value}, by its rows")


def _row(row: Row) -> tuple[str, str] | None:
    """Return what is wrong with one row by itself: got and expected."""
    state, ratio, kind = row["state"], row["error_ratio"], row.get("error_kind")
    rules = (
        (row["dtype"] in ALL_DTYPES, f"dtype {row['dtype']}", f"one of {', '.join(ALL_DTYPES)}"),
        (0 <= row["seconds"] < math.inf, f"{row['seconds']} seconds", "at least 0"),
        (
            (state == "error") == (kind is not None),
            f"{state} with error_kind {kind}",
            "a kind of error, and only there",
        ),
        (state != "pass" or ratio is not None, "pass without error / limit", "0 to 1, for that is what passes"),
        (state != "pass" or ratio is None or ratio <= 1, f"pass with error / limit {ratio}", "at most 1"),
        (
            state in ("pass", "fail") or ratio is None,
            f"{state} with error / limit {ratio}",
            "none: nothing was compared",
        ),
        (ratio is None or ratio >= 0, f"error / limit {ratio}", "at least 0"),
        (state == "pass" or row["message"], f"{state} without a message", "the reason"),
        (is_fresh(row["case"]) or not {"spec", "batch"} & row.keys(), "a layer of its own", "that of its case"),
        (state in ("fail", "error") or not row.get("diagnosis"), f"{state} with a diagnosis", "none: nothing is wrong"),
    )
    return next(((got, expected) for holds, got, expected in rules if not holds), None)


def _against_index(row: Row, store: Store) -> tuple[str, str] | None:
    """Return what is wrong with the cell of a row: there is none such, or it cannot have come out so."""
    case, op, dtype = row["case"], row["op"], row["dtype"]
    if case in CHECKS:
        return None if op in CHECKS[case].ops else (f"{case} in {op}", f"one of {', '.join(CHECKS[case].ops)}")
    if is_fresh(case):
        return _against_draw(row)
    entry = store.entries.get(case)
    if entry is None:
        return f"case {case}", "a case of the golden data"
    if not cell_exists(entry, op, dtype):
        return f"{case} in {op} and {dtype}", "a cell that the golden data answers"
    if row["state"] == "pass" and row["error_ratio"] and entry["values"] != "rounded":
        return f"error / limit {row['error_ratio']} of whole numbers", "0: they are compared bit for bit"
    return None


def _against_draw(row: Row) -> tuple[str, str] | None:
    try:
        drawn = existing(row["case"])
    except LclError as error:
        return f"case {row['case']}", error.expected
    if row.get("spec") != drawn.spec.to_dict() or row.get("batch") != drawn.batch:
        return f"another layer for {row['case']}", "the layer that its name draws"
    if not drawn.amplitude(row["dtype"]) or (row["state"] == "pass" and row["error_ratio"]):
        return f"{row['dtype']} with error / limit {row['error_ratio']}", "whole numbers, exact in the dtype"
    return None


def missing_cells(report: Mapping[str, Any], store: Store) -> list[Violation]:
    """Return which cells a report does not have, or has too many, by the words that it says chose them."""
    found = []
    for run in report["runs"]:
        asked = run.get("asked")
        if asked is None:
            found.append(_wrong("asked", "asked", "nothing", "the words that chose the cells"))
            continue
        for one in report["backends"]:
            if one["run"] == run["label"]:
                mine = [row for row in report["outcomes"] if (row["run"], row["backend"]) == (one["run"], one["name"])]
                found += _compared(one["name"], mine, asked, store)
    return found


def _compared(name: str, rows: Sequence[Row], asked: Mapping[str, Any], store: Store) -> list[Violation]:
    globs = [glob for glob in asked["cases"] if not is_fresh(glob)]
    ids = chosen(asked["tier"], globs) if globs or not asked["cases"] else []
    ids = [one for one in ids if one not in CHECKS] if asked["ladder"] else ids
    golden = {(row["case"], row["op"], row["dtype"]): row["state"] for row in rows if not is_fresh(row["case"])}
    ops = asked["ops"] or OPS
    nearest: set[tuple[str, str, str]] | None = None
    for kind in KINDS:
        ref = BackendRef(name, kind, name)
        plan = make_plan([ref], store, ids, asked["dtypes"], ops, asked["tier"])[ref] if ids else []
        cells = _climbed(plan, golden) if asked["ladder"] else plan
        difference = {(cell.case, cell.op, cell.dtype) for cell in cells} ^ golden.keys()
        nearest = difference if nearest is None or len(difference) < len(nearest) else nearest
    if not nearest:
        return []
    first = " ".join(min(nearest))
    got = f"{len(nearest)} cells that are missing or too many, such as {first}"
    return [_wrong("cells", name, got, "each cell that its words choose, once")]


def _climbed(plan: Iterable[Cell], states: Mapping[tuple[str, str, str], str]) -> list[Cell]:
    """Return the cells that a ladder asks which gave these answers: rung by rung, to the first that does not hold."""
    cells: list[Cell] = []
    for rung in climb(plan, {case.id: case for case in CASES}).values():
        cells += rung
        if any(states.get((cell.case, cell.op, cell.dtype)) in ("fail", "error") for cell in rung):
            break
    return cells
