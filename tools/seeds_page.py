"""The tables of docs/seeds.md, generated from the data; the tests of the errata are found by their names."""

from __future__ import annotations

import re
from pathlib import Path

from tools.seeds import ERRATA, ROWS, SHOWN, SNIPPETS


def tests_of_errata(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Return erratum -> (file, test) for every ``test_<erratum>_...`` in `folder`."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in ERRATA}
    for path in sorted(folder.glob("test_*.py")):
        for match in re.finditer(r"^def (test_([A-Z]\d+)_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(match[2], []).append((path.name, match[1]))
    return found


def snippets_table(folder: Path) -> str:
    """Return the snippets as a Markdown table: document, code, what it computes, rows, errata and their tests."""
    lines = ["| | snippet | runs as printed | computes | row | errata | tests |", "|---|---|---|---|---|---|---|"]
    tests = tests_of_errata(folder)
    for snippet in SNIPPETS:
        files = dict.fromkeys(file for name in snippet.errata for file, _ in tests[name])
        links = ", ".join(f"[{file}](../tests/errata/{file})" for file in files)
        cells = (snippet.id, snippet.what, snippet.runs, snippet.computes, ", ".join(snippet.rows))
        lines.append("| " + " | ".join((*cells, ", ".join(snippet.errata) or "-", links or "-")) + " |")
    return "\n".join(lines)


def shown_table() -> str:
    """Return what `lcl diagnose` says of the snippets as a Markdown table."""
    lines = ["| | used | `lcl diagnose` |", "|---|---|---|"]
    for shown in SHOWN:
        named = f"`{shown.mistake}`" if shown.mistake else shown.words and f"no name: {shown.words} ..."
        said = named or (f"never runs: {shown.error}" if shown.error else "nothing to diagnose: it is right")
        lines.append(f"| {shown.snippet} | {shown.how} | {said} |")
    return "\n".join(lines)


def rows_table() -> str:
    """Return the systems as a Markdown table with the adapters that are them."""
    lines = ["| row | system | backends | errata |", "|---|---|---|---|"]
    for row in ROWS:
        names = ", ".join(f"`{name}`" for name in row.adapters)
        lines.append(f"| {row.id} | {row.system} | {names} | {', '.join(row.errata) or '-'} |")
    return "\n".join(lines)


def errata_table(folder: Path) -> str:
    """Return the errata as a Markdown table with the tests that show them."""
    lines = ["| erratum | what a port that copies it gets wrong | test |", "|---|---|---|"]
    for name, tests in tests_of_errata(folder).items():
        links = "<br>".join(f"[{test}](../tests/errata/{file})" for file, test in tests)
        lines.append(f"| {name} | {ERRATA[name]} | {links} |")
    return "\n".join(lines)
