"""What one machine answered in several reports: refused when they are merged, or only the newest answers kept."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.run.drawn_cases import is_fresh

Row = Mapping[str, Any]
Asked = tuple[str, str]
"""A run and a backend that it asked."""

cell_of = itemgetter("backend", "case", "op", "dtype")
"""What names the cell that a row is of."""


def check_no_cell_twice(merged: Mapping[str, Any]) -> None:
    """Refuse two runs on one machine, with the same versions, that answer the same cell."""
    runs = {run["label"]: run for run in merged["runs"]}
    source = {(one["run"], one["name"]): _source_of(one, runs[one["run"]]) for one in merged["backends"]}
    first: dict[Any, str] = {}
    for outcome in merged["outcomes"]:
        label, cell = outcome["run"], cell_of(outcome)
        before = first.setdefault((source[label, outcome["backend"]], cell), label)
        if before != label:
            got = f"{' '.join(cell)} in {before} and in {label}, from the same machine"
            expected, todo = "one row per machine, version and cell", "`--newest` keeps what was answered last"
            raise LclError(Violation("report/duplicate", "outcomes", got, expected, todo=todo))


def newest(merged: dict[str, Any]) -> dict[str, Any]:
    """Return a merged report without the backends that the same machine and version answered again, whole, later.

    What no later run answered stays, with the date of its run; fresh layers, which are others each time, do not count.

    Raises
    ------
    LclError
        If later runs answered some cells of a backend again, and not all.
    """
    rows: dict[Asked, list[Row]] = defaultdict(list)
    for outcome in merged["outcomes"]:
        rows[outcome["run"], outcome["backend"]].append(outcome)
    replaced = {one for asked in _by_source(merged) for one in _replaced(asked, rows)}
    backends = [one for one in merged["backends"] if (one["run"], one["name"]) not in replaced]
    emptied = {label for label, _ in replaced} - {one["run"] for one in backends}
    return merged | {
        "runs": [run for run in merged["runs"] if run["label"] not in emptied],
        "backends": backends,
        "outcomes": [row for row in merged["outcomes"] if (row["run"], row["backend"]) not in replaced],
    }


def _by_source(merged: Mapping[str, Any]) -> Iterator[list[Asked]]:
    """Yield the runs of each backend, machine and version, the newest first."""
    runs = {run["label"]: run for run in merged["runs"]}
    together: dict[tuple[str, ...], list[Asked]] = defaultdict(list)
    for one in merged["backends"]:
        together[one["name"], *_source_of(one, runs[one["run"]])].append((one["run"], one["name"]))
    for asked in together.values():
        yield sorted(asked, key=lambda one: (datetime.fromisoformat(runs[one[0]]["date"]), one), reverse=True)


def _replaced(asked: Sequence[Asked], rows: Mapping[Asked, Sequence[Row]]) -> Iterator[Asked]:
    """Yield those of the runs of a backend, the newest first, all of whose cells later ones have answered."""
    later: dict[tuple[str, ...], str] = {}
    for label, name in asked:
        mine = {cell_of(row): row["state"] for row in rows[label, name] if not is_fresh(row["case"])}
        lacking = [cell for cell, state in mine.items() if not _answered(later.get(cell), state)]
        if mine and not lacking:
            yield label, name
        elif mine.keys() & later.keys():
            got = f"{len(lacking)} cells that no later run has answered, such as {' '.join(min(lacking))}"
            todo = f"ask {name} again for all that {label} has, or leave one report out"
            raise LclError(Violation("report/partly", f"{name} of {label}", got, "none, or all of them", todo=todo))
        later = mine | later


def _answered(later: str | None, before: str) -> bool:
    """Return whether a later state of a cell says as much as the one before: a cell that was not run says nothing."""
    return later is not None and (later != "not_run" or later == before)


def _source_of(backend: Row, run: Row) -> tuple[str, str]:
    """Return what is known of the machine that answered for a backend, that of the run or another, and the version."""
    name = backend.get("machine")
    facts = run["machine"] if name is None else {"name": name, **run.get("machines", {}).get(name, {})}
    return json.dumps(facts, sort_keys=True), backend["version"]
