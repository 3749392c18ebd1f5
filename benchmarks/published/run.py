"""Layers that people install, against the golden data: ``make published``.

Writes the table of docs/published.md and the whole report as JSON. Exit status 1 where a package is missing or a layer
deviates otherwise than docs/found.md says.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from lcl_ref.bench import published
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report import document
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import BackendReport, Settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "published.md"
JSON = ROOT / "build" / "published.json"

FILES: dict[str, str] = json.loads((HERE / "layers.json").read_text("utf-8"))
"""Layer -> the adapter in this folder; adapters of the matrix follow that declare to be published layers."""

KNOWN = {
    "xlstm.LinearHeadwiseExpand": "a batch of 0 is refused",
    "torch_uncertainty.PackedLinear.conv1d": "a batch of 0 is refused",
}
"""Layer -> the deviation that docs/found.md tells, in a few words."""

BEGIN, END = "<!-- written by `make published` -->", "<!-- end -->"


def main() -> int:
    """Run everything, write the page and the report."""
    data = fixtures.default_root()
    store = fixtures.verify(data)
    refs = published.refs()
    with MatrixRun(make_plan(refs, store, dtypes=DTYPES), Settings(data, 2, 60.0)) as matrix:
        events = list(matrix)
    reports = {event.name: event for event in events if isinstance(event, BackendReport)}
    backends = [reports[ref.name] for ref in refs]
    outcomes = [event for event in events if isinstance(event, Outcome)]
    document.write_json(JSON, document.document(backends, outcomes, store))
    text = PAGE.read_text("utf-8")
    table = "\n".join(rows(backends, outcomes))
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text), "utf-8")
    print(table)
    return 1 if unknown(backends, outcomes) else 0


def rows(backends: Sequence[BackendReport], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the table as Markdown."""
    of_backend: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_backend[outcome.backend].append(outcome)
    lines = ["| layer | package | cells asked | conform | largest error | verdict |", "|---|---|--:|--:|--:|---|"]
    for backend in backends:
        answers = of_backend[backend.name]
        counts = Counter(answer.state for answer in answers)
        asked = counts["pass"] + counts["fail"] + counts["error"]
        worst = max((answer.error_ratio or 0.0 for answer in answers), default=0.0)
        package = f"{backend.framework} {backend.version}" if backend.availability == "present" else backend.message
        cells = [f"`{backend.name}`", package, asked, counts["pass"], f"{worst:.2f}", verdict(backend, answers)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def verdict(backend: BackendReport, answers: Sequence[Outcome]) -> str:
    """Return one line on a layer."""
    if backend.availability != "present":
        return backend.availability
    wrong = [answer for answer in answers if answer.state in ("fail", "error")]
    if not wrong:
        return "conforms in all it supports"
    return f"deviates: {KNOWN.get(backend.name, wrong[0].message)} ([found](found.md))"


def unknown(backends: Sequence[BackendReport], outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is not as docs/found.md says: packages that are missing, and deviations come or gone."""
    missing = [backend.name for backend in backends if backend.availability != "present"]
    deviating = {outcome.backend for outcome in outcomes if outcome.state in ("fail", "error")}
    return missing + sorted(deviating ^ KNOWN.keys())


if __name__ == "__main__":
    sys.exit(main())
