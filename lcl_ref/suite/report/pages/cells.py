"""The cells of a report as the page's scripts read them: each question, answer and case once, and numbers for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.diagnosis.deviations import CATALOGUE
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.report.pages.runs import Row, by_backend
from lcl_ref.suite.run.drawn_cases import is_fresh

NOT_ASKED = -1

Numbers = dict[tuple[Any, ...], int]


def compact(document: Row, store: Store | None) -> dict[str, Any]:
    """Return all cells of a report.

    Parameters
    ----------
    document : mapping
        The report, single or merged.
    store : Store or None
        The golden data that it asked about, which says what each case is.

    Returns
    -------
    dict
        ``cells`` holds, for each of ``backends``, the number of the answer to each of ``questions``, -1 for none.
    """
    questions: Numbers = {}
    answers: Numbers = {}
    cases: dict[str, dict[str, Any]] = {}
    cells = []
    for rows in by_backend(document).values():
        mine: dict[int, int] = {}
        for row in rows:
            if row["case"] not in cases:
                cases[row["case"]] = _case(row, store)
            mine[_number(questions, (row["case"], row["op"], row["dtype"]))] = _number(answers, _answer(row))
        cells.append(mine)
    ordered = sorted(cases, key=lambda name: (not name[0].isdigit(), name))  # golden ones first, then checks
    names = {name: number for number, name in enumerate(ordered)}
    return {
        "ops": list(OPS),
        "dtypes": list(ALL_DTYPES),
        "backends": _backends(document),
        "cases": [{"id": name} | cases[name] for name in ordered],
        "questions": [[names[case], op, dtype] for case, op, dtype in questions],
        "answers": list(answers),
        "cells": [[mine.get(number, NOT_ASKED) for number in range(len(questions))] for mine in cells],
        "mistakes": _mistakes(answers),
    }


def _number(numbers: Numbers, key: tuple[Any, ...]) -> int:
    return numbers.setdefault(key, len(numbers))


def _answer(row: Row) -> tuple[Any, ...]:
    ratio = row["error_ratio"]
    short = None if ratio is None else float(f"{ratio:.3g}")
    return row["state"], short, row["message"], row.get("error_kind"), row.get("diagnosis")


def _backends(document: Row) -> list[dict[str, Any]]:
    labels = list(by_backend(document))
    facts = ("name", "framework", "version", "message")
    return [
        {"label": label} | {fact: backend[fact] for fact in facts}
        for label, backend in zip(labels, document["backends"], strict=True)
    ]


def _case(row: Row, store: Store | None) -> dict[str, Any]:
    """Return what is asked in a case: its layer, why, and the clauses; what is not known is left out."""
    case = row["case"]
    if case in CHECKS:
        return {"why": f"catches a layer that is {CHECKS[case].sentence}", "clauses": [CHECKS[case].clause]}
    if is_fresh(case):
        return {"why": "a layer drawn for this run", "clauses": ["11.9"], "values": "exact"} | _drawn(row)
    if store is None or case not in store.entries:
        return {}
    entry = store.entries[case]
    return {name: entry[name] for name in ("why", "clauses", "values", "batch", "spec")}


def _drawn(row: Row) -> dict[str, Any]:
    try:
        return {"spec": Spec.from_dict(row["spec"]).to_dict(), "batch": row["batch"]}
    except (LclError, KeyError):
        return {}


def _mistakes(answers: Sequence[tuple[Any, ...]] | Mapping[tuple[Any, ...], int]) -> dict[str, list[str]]:
    """Return the sentence and the remedy of each known mistake that an answer names."""
    named = {diagnosis for *_, diagnosis in answers if diagnosis}
    return {
        deviation.id: [deviation.sentence, deviation.fix]
        for deviation in CATALOGUE
        if any(deviation.id in name for name in named)
    }
