"""Which case tests which clause: SPEC.md numbers its clauses, the catalogue cites them, this ties the two together."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from lcl_ref.suite.cases import BY_ID
from lcl_ref.suite.cases.extensions import EXTENSION_CASES

OPEN_CHAPTER = "13"
"""What is deliberately open has numbers, but no cases."""

SHOWN = 4
"""Cases named per clause; the rest is counted."""

_CLAUSE = re.compile(r"^\*\*(\d+\.\d+)\*\* ")
_CASES, _TESTS = "Cases:", "Tests:"
_PATH = re.compile(r"`(tests/[^`]+)`")


def clauses(text: str) -> list[str]:
    """Return the numbers of all testable clauses of SPEC.md, in order."""
    numbers = [match.group(1) for line in text.splitlines() if (match := _CLAUSE.match(line))]
    return [number for number in numbers if number.split(".")[0] != OPEN_CHAPTER]


def tests(text: str) -> dict[str, list[str]]:
    """Return clause -> test files that its ``Tests:`` line names."""
    named: dict[str, list[str]] = {}
    for number, line in _numbered(text):
        if line.startswith(_TESTS):
            named[number] = _PATH.findall(line)
    return named


def citations() -> dict[str, list[str]]:
    """Return clause -> ids of the cases and refusals that cite it, extensions too, those that put it first in front."""
    cited: dict[str, list[tuple[int, str]]] = {}
    for entry in (*BY_ID.values(), *EXTENSION_CASES):
        for place, number in enumerate(entry.clauses):
            cited.setdefault(number, []).append((place, entry.id))
    return {number: [entry for _, entry in sorted(found, key=_place)] for number, found in cited.items()}


def case_lines() -> dict[str, str]:
    """Return clause -> its generated ``Cases:`` line: a few ids, from as many ranks as there are, and a count."""
    return {number: _line(ids) for number, ids in citations().items()}


def refreshed(text: str) -> str:
    """Return SPEC.md with every ``Cases:`` line as generated."""
    lines = case_lines()
    fresh = [lines.get(number, _CASES) if line.startswith(_CASES) else line for number, line in _numbered(text)]
    return "\n".join(fresh) + "\n"


def refresh(path: Path) -> None:
    """Rewrite the ``Cases:`` lines of SPEC.md in place; to be run after cases or clauses have changed."""
    path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")


def _place(cited: tuple[int, str]) -> int:
    return cited[0]


def _line(ids: list[str]) -> str:
    seen: Counter[str] = Counter()
    turns = []
    for place, entry in enumerate(ids):
        family = entry.split("/")[0]
        turns.append((seen[family], place, entry))
        seen[family] += 1
    shown = [f"`{entry}`" for _, _, entry in sorted(turns)[:SHOWN]]
    more = len(ids) - len(shown)
    return f"{_CASES} {', '.join(shown)}" + (f" and {more} more" if more else "")


def _numbered(text: str) -> list[tuple[str, str]]:
    """Return ``(number of the clause it belongs to, line)`` for every line; the number is empty before the first."""
    number, numbered = "", []
    for line in text.splitlines():
        match = _CLAUSE.match(line)
        number = match.group(1) if match else number
        numbered.append((number, line))
    return numbered
