"""Reports of several machines and dates as one table, and what changed from one to another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import lcl_ref
from lcl_ref.errors import LclError, Violation
from lcl_ref.outside import documents
from lcl_ref.outside.text import cleaned, shown
from lcl_ref.suite import schema
from lcl_ref.suite.golden import release
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.report.checking import contradictions
from lcl_ref.suite.report.document import FORMAT, SEAL, count_states, seal_of, sealed
from lcl_ref.suite.report.repeats import cell_of, check_no_cell_twice, newest
from lcl_ref.suite.run.drawn_cases import is_fresh

Document = dict[str, Any]
Key = tuple[str, ...]

MERGED = "lcl-merged/1"
SCHEMA = "lcl-report-1"
DEFINITIONS = {FORMAT: "report", MERGED: "merged"}
MOST_BYTES = 1 << 28
"""Length of a report that is read."""

SHOWN = 5
"""Contradictions that an error lists."""


def read(path: Path) -> Document:
    """Read a report or a merged one, as a merged one; the label of a single report is the stem of its file name.

    Raises
    ------
    LclError
        If the file is cut off, is no report, or contradicts itself.
    """
    try:
        value = documents.read(path, MOST_BYTES)
    except OSError as error:
        raise _refused("missing", path, str(error), "a file that `lcl run --json` wrote") from error
    except ValueError as error:
        raise _refused("cut-off", path, f"{shown(error)}: cut off?", "a whole JSON document") from error
    form = value.get("format") if isinstance(value, dict) else None
    if not isinstance(form, str) or form not in DEFINITIONS:
        raise _refused("format", path, f"format {form!r}", " or ".join(DEFINITIONS))
    try:
        schema.validate(value, SCHEMA, DEFINITIONS[form])
    except schema.Invalid as invalid:
        raise _refused("invalid", path, invalid.got, invalid.expected, invalid.place) from invalid
    _check_seal(value, path)
    _check_release(value, path)
    value = cleaned(value)
    document: Document = value if form == MERGED else _as_merged(value, shown(path.stem))
    _check_whole(document, path)
    ours = _golden_data()
    wrong = contradictions(document, ours if ours.digest == document["suite"]["fixtures_sha256"] else None)
    if wrong:
        raise LclError(wrong[:SHOWN], f"{path}: no run wrote this")
    return document


@cache
def _golden_data() -> Store:
    return Store(default_root())


def _check_seal(value: Mapping[str, Any], path: Path) -> None:
    """Refuse a report that was changed after it was written; those of older versions have no seal."""
    if SEAL not in value and "released_sha256" in value["suite"]:
        raise _refused("seal", path, "no seal", "the digest that `lcl run` wrote: it was edited")
    if SEAL in value and seal_of(value) != value[SEAL]:
        raise _refused("seal", path, f"seal {value[SEAL][:16]}", f"{seal_of(value)[:16]}, by the rest: it was edited")


def _check_release(value: Mapping[str, Any], path: Path) -> None:
    """Refuse another released set than that of this version, in a report of this version about the same data."""
    suite, ours = value["suite"], release.digest()
    same = (suite.get("version"), suite["fixtures_sha256"]) == (lcl_ref.__version__, _golden_data().digest)
    if same and suite.get("released_sha256", ours) != ours:
        raise _refused(
            "release", path, f"released_sha256 {suite['released_sha256'][:16]}", f"{ours[:16]}, of its version"
        )


def _refused(rule: str, path: Path, got: str, expected: str, place: str = "") -> LclError:
    what = f"{path}: {place}" if place else str(path)
    return LclError(Violation(f"report/{rule}", what, got, expected))


def _as_merged(report: Mapping[str, Any], label: str) -> Document:
    run = {"label": label, "version": report["suite"]["version"], "date": report["date"], "machine": report["machine"]}
    run |= {name: report[name] for name in ("asked", "machines") if name in report}
    return {
        "format": MERGED,
        "suite": {"fixtures_sha256": report["suite"]["fixtures_sha256"]},
        "runs": [run],
        "backends": [{"run": label} | backend for backend in report["backends"]],
        "outcomes": [{"run": label} | outcome for outcome in report["outcomes"]],
        "summary": report["summary"],
    }


def _check_whole(document: Document, path: Path) -> None:
    """Refuse a document whose parts do not fit together: counts, labels, and one row per cell."""
    counts = count_states(outcome["state"] for outcome in document["outcomes"])
    if counts != document["summary"]:
        expected = f"the counts of its summary, {document['summary']}"
        raise _refused("cut-off", path, f"outcomes {counts}: cut off, or edited?", expected)
    known = {(backend.get("run"), backend["name"]) for backend in document["backends"]}
    used = {(outcome.get("run"), outcome["backend"]) for outcome in document["outcomes"]}
    if not used <= known or {label for label, _ in known} - {run["label"] for run in document["runs"]}:
        strange = sorted(f"{name} of {label}" for label, name in used - known) or ["a run that is not listed"]
        raise _refused("unknown", path, strange[0], "only backends and runs that it lists")
    rows = Counter(_key(outcome) for outcome in document["outcomes"])
    twice = [key for key, count in rows.items() if count > 1]
    if twice:
        raise _refused("duplicate", path, f"{len(twice)} cells twice, such as {' '.join(twice[0])}", "one row per cell")


def _key(outcome: Mapping[str, Any], with_run: bool = True) -> Key:
    cell: Key = cell_of(outcome)
    return (outcome["run"], *cell) if with_run else cell


def merge(paths: Sequence[Path], only_newest: bool = False) -> Document:
    """Return one document with the rows of all files; each row names its run, which has machine, versions and date.

    Runs stand in the order of their labels, whatever that of the files.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    only_newest : bool
        Whether a later report replaces what the same machine answered before.

    Raises
    ------
    LclError
        If the golden data differs, a label occurs twice, or one machine answers a cell twice.
    """
    opened = [read(path) for path in paths]
    _check_same_data(paths, opened)
    label_of = {"runs": "label", "backends": "run", "outcomes": "run"}
    merged = opened[0] | {
        part: sorted((row for document in opened for row in document[part]), key=itemgetter(label))
        for part, label in label_of.items()
    }
    labels = Counter(run["label"] for run in merged["runs"])
    for label, count in labels.items():
        if count > 1:
            todo = "give the files different names: a name is the label of its machine in the table"
            raise LclError(
                Violation("report/label", "runs", f"{label!r} {count} times", "labels that differ", todo=todo)
            )
    if only_newest:
        merged = newest(merged)
    check_no_cell_twice(merged)
    return sealed(merged | {"summary": count_states(outcome["state"] for outcome in merged["outcomes"])})


def _check_same_data(paths: Sequence[Path], opened: Sequence[Document]) -> None:
    digests = [document["suite"]["fixtures_sha256"] for document in opened]
    for path, digest in zip(paths, digests, strict=True):
        if digest != digests[0]:
            expected = f"{digests[0][:16]} as in {paths[0]}"
            todo = "run both against the same golden data"
            raise LclError(Violation("report/digest", str(path), f"golden data {digest[:16]}", expected, todo=todo))


@dataclass(frozen=True)
class Difference:
    """Cells by what became of them, in the order of the second document.

    Parameters
    ----------
    before, after : dict
        The documents.
    changes : mapping of str to list
        Name of a change -> ``(cell, row before, row after)``; a row is None where the document has none.
    """

    before: Document
    after: Document
    changes: Mapping[str, list[tuple[Key, Mapping[str, Any] | None, Mapping[str, Any] | None]]]

    @property
    def worse(self) -> bool:
        """Whether a cell that passed does not pass any longer."""
        return any(self.changes.get(name) for name in WORSE)


WORSE = ("regressed", "newly unsupported", "no longer asked")
"""Changes of a cell that passed."""


def difference(before: Path, after: Path) -> Difference:
    """Compare two documents cell by cell; runs are matched by label where either document has several.

    Raises
    ------
    LclError
        As `read`, and if the golden data differs.
    """
    opened = [read(before), read(after)]
    _check_same_data([before, after], opened)
    with_run = any(len(document["runs"]) > 1 for document in opened)
    old, new = ({_key(row, with_run): row for row in document["outcomes"]} for document in opened)
    changes: dict[str, list[Any]] = defaultdict(list)
    for key in new | old:
        rows = old.get(key), new.get(key)
        name = change_of(key[-3], *(row["state"] if row else "absent" for row in rows))
        if name:
            changes[name].append((key, *rows))
    return Difference(opened[0], opened[1], changes)


def change_of(case: str, was: str, now: str) -> str:
    """Return the name of a change of a cell from one state to another, or nothing where it is none worth a line."""
    if was == now or (now == "absent" and is_fresh(case)):
        return ""  # another seed draws other layers
    if was == "pass":
        return {"unsupported": "newly unsupported", "absent": "no longer asked"}.get(now, "regressed")
    if was in ("fail", "error") and now == "pass":
        return "fixed"
    if was == "absent":
        return "new" if now in ("pass", "unsupported") else "new and wrong"
    return "newly supported" if now == "pass" else "changed"
