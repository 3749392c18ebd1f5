"""Searches operands with which right float32 results lie as close to their limits as they come: `moves` of a case.

`python -m tools.worst_operands CASE [STEPS]` starts from the moves that the case has. A step draws one number anew and
keeps it where the largest errors of y and dx, summed in any of eight ways, grow in sum, as shares of their limits.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import numpy as np

from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import BY_ID
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import real_kinds
from lcl_ref.suite.judge.bounds import limit, magnitudes
from tools.limits.experiments import stream
from tools.limits.leaning import RIGHT
from tools.limits.summation import nearest, terms_of

STEPS = 3000
DTYPE = "float32"
RESULTS = ("y", "dx")
"""Sums over taps and channels; a gradient of weights is a sum over the batch, which is short."""


def ratios(case: Case) -> dict[str, float]:
    """Return per result the largest error of a right one as a share of its limit."""
    form, worst = FORMATS[DTYPE], dict.fromkeys(RESULTS, 0.0)
    operands = {name: drawn.floats().astype(np.float32) for name, drawn in real_kinds.drawn(case, DTYPE).items()}
    sizes = magnitudes(case.spec, operands)
    for result in RESULTS:
        terms = terms_of(case.spec, operands, result)
        golden = nearest(terms)
        allowed = limit(sizes[result], golden.reshape(sizes[result].total.shape), form, form).reshape(-1)
        for order in RIGHT.values():
            worst[result] = max(worst[result], float((np.abs(order(terms) - golden) / allowed).max()))
    return worst


def climbed(case: Case, steps: int, seed: int = 5) -> Case:
    """Return the case with more moves, of a larger sum of ratios."""
    random, best = stream(seed), sum(ratios(case).values())
    shapes = case.spec.operand_shapes(case.batch)
    names = list(shapes)
    for step in range(steps):
        name = names[int(random.integers(0, len(names)))]
        place = int(random.integers(0, np.prod(shapes[name])))
        kept = tuple(move for move in case.moves if move[:2] != (name, place))
        tried = replace(case, moves=(*kept, (name, place, step)))
        found = sum(ratios(tried).values())
        if found > best:
            case, best = tried, found
    return case


def main(words: list[str]) -> int:
    """Search, and print what to write into the table of the case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case")
    parser.add_argument("steps", type=int, nargs="?", default=STEPS)
    asked = parser.parse_args(words)
    case = BY_ID[asked.case]
    assert isinstance(case, Case)
    found = climbed(case, asked.steps)
    for tried in (replace(case, moves=()), found):
        shares = ", ".join(f"{share:.3f} in {name}" for name, share in ratios(tried).items())
        print(f"# {len(tried.moves)} moves: {shares}")
    print(f"moves = {json.dumps(found.moves)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
