"""The page of one case: its layer, whose fields can be changed, its picture, and its golden numbers as sums."""

from __future__ import annotations

from typing import Any

from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.report.describe_case import Arrays, describe, plain
from lcl_ref.suite.report.pages.rendering import rendered

SCRIPTS = ("geometry.js", "picture.js", "planes.js", "spec.js", "explorer.js")

MOST_NUMBERS = 50_000
"""A case with more of them is shown without."""


def explorer_page(case: Case, arrays: Arrays) -> str:
    """Return the page of a case; `arrays` are the stored ones."""
    named = plain(case, arrays)
    kept = {name: named[name] for name in ("x", "weight", "bias", "y") if name in named}
    few = case.values in ("exact", "rounded") and sum(array.size for array in kept.values()) <= MOST_NUMBERS
    numbers = {name: _listed(array) for name, array in kept.items()} if few else None
    return rendered(
        "explorer.html",
        SCRIPTS,
        {"spec": case.spec.to_dict(), "batch": case.batch, "numbers": numbers},
        case={"id": case.id, "why": case.why, "clauses": list(case.clauses)},
        text=describe(case, arrays),
    )


def _listed(array: Any) -> list[Any]:
    """Return the numbers of an array in C order."""
    return [int(value) if float(value).is_integer() else float(value) for value in array.ravel()]
