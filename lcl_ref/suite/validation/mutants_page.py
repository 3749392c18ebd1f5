"""The kill matrix as a page: a picture, a row per deviation and a column per case, and a table of the deviations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.report.pages.rendering import rendered
from lcl_ref.suite.validation.mutants import LETTER, PROMISED, KillMatrix, State

WORDS: dict[State, str] = {
    "killed": "seen: the comparison rejects it",
    "refused": "seen: such a layer could not run",
    "equivalent": "proved equal for all operands",
    "blind": "another layer, which these operands do not show",
    "identical": "the same layer by construction",
    "absent": "nothing to compare",
}
SIDE = 8
DRAWN: tuple[State, ...] = ("killed", "refused", "equivalent", "blind")


def page(matrix: KillMatrix) -> str:
    """Return the page of a kill matrix."""
    rows = [
        {
            "deviation": deviation,
            "killed": len(matrix.killers[deviation.id]),
            "same": matrix.count(deviation.id, "identical") + matrix.count(deviation.id, "equivalent"),
            "blind": matrix.count(deviation.id, "blind"),
        }
        for deviation in matrix.deviations
    ]
    facts = matrix.to_dict()
    names = [deviation.id for deviation in matrix.deviations]
    return rendered(
        "mutants.html",
        ["list.js", "mutants.js"],
        {
            "deviations": names,
            "cases": facts["cases"],
            "ops": list(OPS),
            "words": {LETTER[state]: words for state, words in WORDS.items()},
            "rows": ["".join(facts["matrix"][name][case] for case in facts["cases"]) for name in names],
            "side": SIDE,
        },
        rows=rows,
        promised=PROMISED["core"],
        cases=len(matrix.cases),
        paths=[(state, "".join(_runs(matrix, state))) for state in DRAWN],
        legend=[(state, WORDS[state]) for state in DRAWN],
        width=SIDE * len(matrix.cases),
        height=SIDE * len(matrix.deviations),
    )


def _runs(matrix: KillMatrix, state: State) -> Iterator[str]:
    """Yield the squares of one state as parts of an SVG path, neighbours in a row as one."""
    for y, deviation in enumerate(matrix.deviations):
        states = enumerate(matrix.state(deviation.id, case.id) for case in matrix.cases)
        for found, run in groupby(states, lambda one: one[1]):
            if found == state:
                columns = [x for x, _ in run]
                width = SIDE * len(columns)
                yield f"M{columns[0] * SIDE} {y * SIDE}h{width}v{SIDE - 1}h{-width}z"
