"""The page to explore layers: their fields, which can be changed, their pictures, and golden numbers as sums."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.report.describe_case import Arrays, describe, plain
from lcl_ref.suite.report.pages.rendering import rendered

SCRIPTS = ("geometry.js", "picture.js", "planes.js", "spec.js", "explorer.js")

MOST_NUMBERS, MOST_OF_EACH = 50_000, 2_000
"""The numbers of a case with more of them are not shown: where it is alone on a page, and where it is one of many."""


def explorer_page(cases: Sequence[tuple[Case, Arrays]]) -> str:
    """Return the page of one case, with its words, or of many, to be chosen from; the arrays are the stored ones."""
    alone = len(cases) == 1
    most = MOST_NUMBERS if alone else MOST_OF_EACH
    groups = groupby((case.id for case, _ in cases), key=lambda name: name.rpartition("/")[0])
    return rendered(
        "explorer.html",
        SCRIPTS,
        {"cases": [_case(case, plain(case, arrays), most) for case, arrays in cases]},
        title=cases[0][0].id if alone else "Layers to explore",
        groups=[(name, list(ids)) for name, ids in groups],
        text=describe(*cases[0]) if alone else "",
    )


def _case(case: Case, named: Arrays, most: int) -> dict[str, Any]:
    kept = {name: named[name] for name in ("x", "weight", "bias", "y") if name in named}
    few = case.values in ("exact", "rounded") and sum(array.size for array in kept.values()) <= most
    numbers = {name: _listed(array) for name, array in kept.items()} if few else None
    asked = {"id": case.id, "why": case.why, "clauses": list(case.clauses)}
    return asked | {"spec": case.spec.to_dict(), "batch": case.batch, "numbers": numbers}


def _listed(array: Any) -> list[Any]:
    """Return the numbers of an array in C order."""
    return [int(value) if float(value).is_integer() else float(value) for value in array.ravel()]
