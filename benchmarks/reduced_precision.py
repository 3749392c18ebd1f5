"""Cheaper arithmetic against the suite's verdicts: how many cases are flagged, and how many named.

`python benchmarks/reduced_precision.py [CASES]`, 400 per row unless said otherwise. Exit status 1 where fewer than 98 %
of the cases with operands rounded to TF32 are flagged, or fewer than all with sums of 64 terms kept one by one in a
half type (in results of at least 16 elements: one or two can come out right by chance).
"""

from __future__ import annotations

import argparse
import sys

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from tools.limits.experiments import SIGNS
from tools.limits.reduced_arithmetic import ARITHMETICS, Cheaper, seen, seen_in_catalogue

CASES = 400
SEED = 34
FLAGGED = 0.98


def wanted(arithmetic: Cheaper) -> float:
    """Return the least share of cases that must be flagged."""
    return FLAGGED if arithmetic.inputs else float(arithmetic.order == "serial")


def main(words: list[str]) -> int:
    """Run the experiment, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=int, nargs="?", default=CASES)
    cases, missed = parser.parse_args(words).cases, 0
    store = Store(default_root())
    print(
        "a case is a layer and an operation; flagged: failed, or passed with a warning; mixed or one: signs of operands"
    )
    head = f"{'arithmetic':<28}{'order':<9}{'dtype':<10}{'layers':<16}{'terms':>6}{'cases':>7}"
    print(f"{head}{'failed':>8}{'warned':>8}{'flagged':>9}{'named':>8}")
    for arithmetic in ARITHMETICS:
        rows = {f"random, {signs}": seen(arithmetic, signs, cases, SEED) for signs in SIGNS}
        rows["catalogue"] = seen_in_catalogue(arithmetic, store)
        for layers, found in rows.items():
            missed += found.flagged < wanted(arithmetic)
            row = f"{arithmetic.name:<28}{arithmetic.order or 'any':<9}{arithmetic.dtype:<10}{layers:<16}"
            counts = f"{f'>={arithmetic.least_terms}':>6}{found.cases:>7}{found.failed:>8}{found.warned:>8}"
            print(f"{row}{counts}{found.flagged:>9.1%}{found.named / found.cases:>8.1%}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
