"""The report as one self-contained page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import jinja2

from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.report.looked_at import NARROW

_TEMPLATE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lcl-ref conformance</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } small { color: #666; }
.pass { color: #176b2c; } .fail, .error { color: #a11; font-weight: 600; } .none { color: #999; }
details { margin: .4rem 0; } code { background: #f4f4f4; padding: 0 .2rem; }
</style></head><body>
<h1>Conformance of locally connected layers</h1>
<p>Golden data <code>{{ suite.fixtures_sha256[:16] }}</code>.</p>
<ul>
{% for run in runs %}
<li>{{ run.label }}{{ ": " if run.label }}{{ run.machine.system }} {{ run.machine.release }} {{ run.machine.machine }}
{{ run.machine.driver }}, Python {{ run.machine.python }}, NumPy {{ run.machine.numpy }}, lcl-ref {{ run.version }},
{{ run.date }}</li>
{% endfor %}</ul>
<p>{% for state, count in summary.items() %}
{{ count }} {{ state.replace("_", " ") }}{{ ", " if not loop.last }}
{% endfor %}</p>
<p>Each number is the count of cells that conform;
behind it the largest error as a share of its proved limit.</p>
<table><thead><tr><th>backend</th><th>framework</th>
{% for column in columns %}<th>{{ column[0] }}<br><small>{{ column[1] }}</small></th>{% endfor %}
<th>unsupported</th></tr></thead><tbody>
{% for row in rows %}<tr><td>{{ row.name }}</td><td>{{ row.framework }}</td>
{% for cell in row.cells %}<td class="n {{ cell.kind }}">{{ cell.text }} <small>{{ cell.ratio }}</small></td>
{% endfor %}
<td class="n">{{ row.unsupported }}</td></tr>
{% endfor %}</tbody></table>
{% if narrow %}<h2>How much was looked at</h2>
<table><thead><tr><th>backend</th><th>cells asked</th><th>fresh ones</th>
<th>known mistakes it may have that show in none of them</th></tr></thead><tbody>
{% for backend in narrow %}
<tr><td>{{ backend.name }}</td>
<td class="n">{{ backend.asked }} ({{ "%.1f" | format(100 * backend.asked_share) }} %)</td>
<td class="n">{{ backend.asked_fresh }}</td><td>{{ backend.not_seen | join(", ") or "none" }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
<h2>What does not conform</h2>
{% for problem in problems %}<details>
<summary class="{{ problem.state }}">{{ problem.backend }}: {{ problem.case }}
{{ problem.op }} {{ problem.dtype }}</summary><p>{{ problem.error_kind or problem.state }}: {{ problem.message }}</p>
{% if problem.diagnosis %}<p>{{ problem.diagnosis }}</p>{% endif %}</details>
{% else %}<p>Nothing.</p>{% endfor %}
<h2>What is declared unsupported, and why</h2>
<table><thead><tr><th>backend</th><th>cells</th><th>reason</th></tr></thead><tbody>
{% for (name, reason), count in reasons %}
<tr><td>{{ name }}</td><td class="n">{{ count }}</td><td>{{ reason }}</td></tr>
{% endfor %}</tbody></table>
</body></html>
"""
)


def page(document: Mapping[str, Any]) -> str:
    """Return the page of a report or of a merged one, in which a backend has a row per run."""
    runs = _runs(document)
    backends, outcomes = (_with_run(document[part], field, runs) for part, field in _NAMED)
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome["backend"], outcome["op"], outcome["dtype"]].append(outcome)
    asked = {(op, dtype) for _, op, dtype in groups}
    columns = [(op, dtype) for op in OPS for dtype in ALL_DTYPES if (op, dtype) in asked]
    reasons = Counter(
        (outcome["backend"], outcome["message"])
        for outcome in outcomes
        if outcome["state"] in ("unsupported", "not_run")
    )
    rows = [
        {
            "name": backend["name"],
            "framework": f"{backend['framework']} {backend['version']}",
            "cells": [_cell(groups[backend["name"], op, dtype]) for op, dtype in columns],
            "unsupported": sum(count for (name, _), count in reasons.items() if name == backend["name"]),
        }
        for backend in backends
    ]
    problems = [outcome for outcome in outcomes if outcome["state"] in ("fail", "error")]
    return _TEMPLATE.render(
        columns=columns,
        narrow=[backend for backend in backends if (backend.get("asked_share") or 1) < NARROW],
        rows=rows,
        problems=problems,
        reasons=sorted(reasons.items()),
        runs=runs,
        suite=document["suite"],
        summary=document["summary"],
    )


_NAMED = (("backends", "name"), ("outcomes", "backend"))
"""Parts of a report, and the field of their rows that names a backend."""


def _runs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "runs" in document:
        return list(document["runs"])
    facts = {name: document[name] for name in ("date", "machine")}
    return [{"label": "", "version": document["suite"]["version"]} | facts]


def _with_run(rows: list[Mapping[str, Any]], field: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the run as part of the backend's name, where there is more than one."""
    return [{**row, field: f"{row[field]} on {row['run']}"} if len(runs) > 1 else dict(row) for row in rows]


def _cell(outcomes: list[Mapping[str, Any]]) -> dict[str, str]:
    states = Counter(outcome["state"] for outcome in outcomes)
    wrong = states["fail"] + states["error"]
    if wrong:
        return {"kind": "fail", "text": f"{wrong} wrong", "ratio": f"of {wrong + states['pass']}"}
    if not states["pass"]:
        return {"kind": "none", "text": "-", "ratio": ""}
    worst = max(outcome["error_ratio"] or 0.0 for outcome in outcomes)
    return {"kind": "pass", "text": str(states["pass"]), "ratio": f"{worst:.2f}"}
