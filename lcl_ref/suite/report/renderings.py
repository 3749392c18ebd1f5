"""A report in the forms that other programs read: JUnit, lines of a GitHub log, SARIF, Markdown and badges."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree as ET

from lcl_ref.suite.report.document import count_states

Document = Mapping[str, Any]
Row = Mapping[str, Any]

WRONG = ("fail", "error")
SARIF = "https://json.schemastore.org/sarif-2.1.0.json"

SHOWN = 5
"""Wrong cells that Markdown and a line of a log name per backend."""


def junit(report: Document) -> str:
    """Return JUnit XML: a suite per backend, a test per cell; what was not asked is skipped, with its reason."""
    root = ET.Element("testsuites", name="lcl-ref")
    for backend, rows in _by_backend(report).items():
        counts = count_states(row["state"] for row in rows)
        skipped = counts["unsupported"] + counts["not_run"]
        numbers = {"tests": len(rows), "failures": counts["fail"], "errors": counts["error"], "skipped": skipped}
        suite = ET.SubElement(root, "testsuite", {"name": backend} | {key: str(n) for key, n in numbers.items()})
        suite.set("time", f"{sum(row['seconds'] for row in rows):.6f}")
        for row in rows:
            name = f"{row['case']} {row['op']} {row['dtype']}"
            test = ET.SubElement(suite, "testcase", classname=backend, name=name, time=f"{row['seconds']:.6f}")
            if row["state"] in WRONG:
                tag = "failure" if row["state"] == "fail" else "error"
                ET.SubElement(test, tag, type=_kind(row), message=row["message"]).text = _rerun(row)
            elif row["state"] != "pass":
                ET.SubElement(test, "skipped", message=row["message"])
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def github(report: Document) -> str:
    """Return workflow commands: one error per backend that does not conform, at its file where it has one."""
    lines = []
    for backend, rows in _by_backend(report).items():
        wrong = _wrong(rows)
        if not wrong:
            continue
        place = f"file={_property(path)}," if (path := _file(backend)) else ""
        text = "\n".join(_line(row) for row in wrong[:SHOWN])
        text += f"\n(+{len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        title = _property(f"{backend}: {len(wrong)} cells do not conform")
        lines.append(f"::error {place}title={title}::{_data(text)}")
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in report["summary"].items())
    return "\n".join([*lines, f"::notice title=lcl-ref::{_data(counts)}"]) + "\n"


def sarif(report: Document) -> str:
    """Return SARIF 2.1.0: a result per wrong cell; the rule is the mistake's name, or the kind of error."""
    wrong = _wrong(report["outcomes"])
    rules = sorted({_kind(row) for row in wrong})
    driver = {
        "name": "lcl-ref",
        "version": _version(report),
        "rules": [{"id": rule, "shortDescription": {"text": rule}} for rule in rules],
    }
    results = []
    for row in wrong:
        path = _file(row["backend"])
        where = [{"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 1}}}] if path else []
        text = f"{row['backend']}: {_line(row)}. Again: {_rerun(row)}"
        results.append({"ruleId": _kind(row), "level": "error", "message": {"text": text}, "locations": where})
    log = {"$schema": SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(log, indent=1) + "\n"


def markdown(report: Document) -> str:
    """Return a table of the backends, and the first wrong cells of each that does not conform."""
    lines = ["| backend | conforming | wrong | unsupported | largest error / limit |", "|---|--:|--:|--:|--:|"]
    details = []
    for backend, rows in _by_backend(report).items():
        counts, wrong = count_states(row["state"] for row in rows), _wrong(rows)
        worst = max((row["error_ratio"] or 0.0 for row in rows if row["state"] == "pass"), default=0.0)
        numbers = (counts["pass"], len(wrong), counts["unsupported"])
        lines.append(f"| {_cell(backend)} | {' | '.join(map(str, numbers))} | {worst:.2f} |")
        if wrong:
            more = [f"- (+{len(wrong) - SHOWN} more)"] if len(wrong) > SHOWN else []
            details += ["", f"**{_cell(backend)}**", "", *(f"- {_cell(_line(row))}" for row in wrong[:SHOWN]), *more]
    return "\n".join(lines + details) + "\n"


def badge(report: Document) -> str:
    """Return what https://shields.io/badges/endpoint-badge makes a badge of."""
    counts = report["summary"]
    wrong = counts["fail"] + counts["error"]
    text = f"{wrong} cells deviate" if wrong else f"{counts['pass']} cells conform"
    color = "red" if wrong else "brightgreen" if counts["pass"] else "lightgrey"
    return json.dumps({"schemaVersion": 1, "label": "lcl-ref", "message": text, "color": color}) + "\n"


FORMS: Mapping[str, Callable[[Document], str]] = MappingProxyType(
    {"junit": junit, "github": github, "sarif": sarif, "markdown": markdown, "badge": badge}
)
"""Word of ``--format`` -> what a report, single or merged, is in it."""


def _by_backend(report: Document) -> dict[str, list[Row]]:
    """Return the rows of each backend; where several runs were merged of each backend and run."""
    several = len(report.get("runs", ())) > 1
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in report["outcomes"]:
        groups[f"{row['backend']} ({row['run']})" if several else row["backend"]].append(row)
    return groups


def _wrong(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["state"] in WRONG]


def _kind(row: Row) -> str:
    return str(row.get("diagnosis") or row.get("error_kind") or "wrong numbers")


def _line(row: Row) -> str:
    return f"{row['case']} {row['op']} {row['dtype']}: {_kind(row)}: {row['message']}"


def _rerun(row: Row) -> str:
    return f"lcl run -b '{row['backend']}' -c '{row['case']}' --op {row['op']} --dtype {row['dtype']}"


def _file(backend: str) -> str:
    """Return the file of a backend that is one, or an empty text."""
    path = backend.split(":", maxsplit=1)[0]
    return path if path.endswith(".py") else ""


def _version(report: Document) -> str:
    return str(report["runs"][0]["version"] if "runs" in report else report["suite"]["version"])


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
