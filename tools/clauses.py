"""Which case tests which clause: SPEC.md numbers its clauses, the catalogue cites them, this ties the two together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lcl_ref.suite.cases.catalogue import BY_ID, EXTENSION_CASES
from lcl_ref.suite.checks.catalogue import CHECKS

OPEN_CHAPTER = "13"
"""What is deliberately open has numbers, but no cases."""

_CLAUSE = re.compile(r"^\*\*(\d+\.\d+)\*\* ")
_CHAPTER = re.compile(r"^### (\d+) .+")


@dataclass(frozen=True)
class Held:
    """What holds a clause besides cases.

    Parameters
    ----------
    tests : tuple of str
        Test modules, as paths below ``tests/``.
    reason : str
        Why no case cites the clause; empty where one does.
    """

    tests: tuple[str, ...]
    reason: str = ""


_DESCRIPTION = "cases hold descriptions that are complete already"
_EVERY_CELL = "every cell asks for it"
_DATA = "about the golden data, not about a layer"
_STORED = "about stored text; refusals of the golden data are arguments"
_DRAWS = "draws numbers, and computes no layer"
_CHECKS = "suite/power/test_checks.py"
_EXTENSION = "extensions/test_cases.py"

HELD: dict[str, Held] = {
    "0.1": Held(("suite/cases/test_refused.py", "core/test_spec.py"), _DESCRIPTION),
    "0.2": Held(("suite/cases/test_refused.py", "core/test_spec.py"), _DESCRIPTION),
    "0.3": Held(("core/test_spec.py",), _DESCRIPTION),
    "0.4": Held(("conformance/test_matrix.py",), _EVERY_CELL),
    "0.5": Held(("conformance/test_matrix.py",), "about declarations, not about a layer"),
    "3.5": Held(("core/test_spec.py",), "counts, which no answer of a layer shows"),
    "8.1": Held(("core/test_checks.py", "core/test_reference.py"), "binds the reference only"),
    "8.2": Held(("conformance/test_matrix.py",), _EVERY_CELL),
    "8.3": Held(("conformance/test_matrix.py", "suite/power/test_wrong_in_values.py")),
    "8.4": Held(("conformance/test_matrix.py", _CHECKS)),
    "8.5": Held((_CHECKS,)),
    "8.6": Held((_CHECKS,)),
    "8.7": Held((_CHECKS,)),
    "8.8": Held((_CHECKS,)),
    "8.9": Held(("suite/power/test_wrong_in_values.py",)),
    "8.10": Held((_CHECKS, "adapters/test_transforms.py")),
    "9.4": Held(("core/test_reference.py", "core/test_derivatives.py")),
    "9.5": Held(("core/test_derivatives.py",)),
    "9.6": Held(("core/test_derivatives.py",)),
    "9.7": Held((_CHECKS, "adapters/test_transforms.py")),
    "9.8": Held((_CHECKS, "adapters/test_transforms.py")),
    "10.1": Held(("suite/cases/test_refused.py",)),
    "10.4": Held(("suite/cases/test_refused.py",)),
    "10.11": Held(("suite/cases/test_refused.py",)),
    "10.12": Held(
        ("suite/cases/test_refused.py", "core/test_spec.py"),
        _STORED,
    ),
    "11.1": Held(("suite/cases/test_catalogue.py",), _DATA),
    "11.2": Held(("suite/cases/test_catalogue.py",), _DATA),
    "11.3": Held(("suite/cases/test_catalogue.py", "core/test_reference.py"), _DATA),
    "11.4": Held(("suite/cases/test_catalogue.py", "suite/golden/test_fixtures.py"), _DATA),
    "11.5": Held(("suite/cases/test_catalogue.py", "suite/golden/test_determinism.py"), _DATA),
    "11.6": Held(("suite/validation/test_coverage.py",), _DATA),
    "11.7": Held(("suite/validation/test_families.py",), _DATA),
    "11.8": Held(("suite/golden/test_generated.py", "suite/cases/test_sizes.py"), _DATA),
    "11.9": Held(("suite/power/test_sealed.py",), "its cases are in no golden data"),
    "12.2": Held(("suite/validation/test_experiments.py",)),
    "12.3": Held(("suite/validation/test_experiments.py",)),
    "12.4": Held(("suite/validation/test_experiments.py",)),
    "12.7": Held(("suite/cases/test_catalogue.py",), _DATA),
    "12.9": Held(("conformance/test_matrix.py",), "about the report, not about a layer"),
    "12.10": Held(("suite/power/test_sealed.py",), "about who judges, not about a layer"),
    "14.1": Held(("extensions/test_pruned.py", _EXTENSION)),
    "14.2": Held(("extensions/test_adaptive.py", _EXTENSION)),
    "14.3": Held(("extensions/test_low_rank.py", _EXTENSION)),
    "14.4": Held(("extensions/test_unequal.py", _EXTENSION)),
    "14.5": Held(("extensions/test_borders.py", _EXTENSION)),
    "14.6": Held(("extensions/test_transposed.py", _EXTENSION)),
    "14.7": Held(("core/test_initialisers.py", "layers/test_initialisers_live.py"), _DRAWS),
    "14.8": Held(("extensions/test_quantised.py", _EXTENSION)),
    "14.9": Held(("core/test_complex.py",)),
    "14.10": Held(("extensions/test_regions.py", _EXTENSION)),
}
"""Clause -> the tests that hold it, and the reason where it has no case."""


def clauses(text: str) -> list[str]:
    """Return the numbers of all testable clauses of SPEC.md, in the order of the text."""
    return [number for number in bodies(text) if number.split(".")[0] != OPEN_CHAPTER]


def bodies(text: str) -> dict[str, str]:
    """Return clause -> its text, from its number to the next clause or heading."""
    found: dict[str, list[str]] = {}
    number = ""
    for line in text.splitlines():
        match = _CLAUSE.match(line)
        number = match.group(1) if match else "" if line.startswith("#") else number
        if number:
            found.setdefault(number, []).append(line)
    return {number: "\n".join(lines).strip() for number, lines in found.items()}


def citations() -> dict[str, list[str]]:
    """Return clause -> ids of cases, refusals, extensions and checks that cite it, those that put it first in front."""
    cited: dict[str, list[tuple[int, str]]] = {}
    for entry in (*BY_ID.values(), *EXTENSION_CASES):
        for place, number in enumerate(entry.clauses):
            cited.setdefault(number, []).append((place, entry.id))
    for check in CHECKS.values():
        cited.setdefault(check.clause, []).append((0, check.id))
    return {number: [entry for _, entry in sorted(found, key=_place)] for number, found in cited.items()}


def _place(cited: tuple[int, str]) -> int:
    return cited[0]


def index(text: str) -> str:
    """Return the body of docs/clauses.md: under each chapter of SPEC.md its clauses, each with all that tests it."""
    cited = citations()
    return "\n\n".join(
        f"## {entry}" if kind == "chapter" else f"**{entry}** {_tested_by(entry, cited.get(entry, []))}"
        for kind, entry in _entries(text)
    )


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield the headings of chapters and the numbers of testable clauses, in the order of the text."""
    for line in text.splitlines():
        chapter, clause = _CHAPTER.match(line), _CLAUSE.match(line)
        if chapter and chapter.group(1) != OPEN_CHAPTER:
            yield "chapter", line.removeprefix("### ")
        elif clause and clause.group(1).split(".")[0] != OPEN_CHAPTER:
            yield "clause", clause.group(1)


def _tested_by(number: str, ids: list[str]) -> str:
    held = HELD.get(number, Held(()))
    cases = f"{len(ids)} case{'s' * (len(ids) != 1)}: {_quoted(ids)}" if ids else f"No case: {held.reason}"
    return f"{cases}. Tests: {_quoted(held.tests)}." if held.tests else f"{cases}."


def _quoted(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
