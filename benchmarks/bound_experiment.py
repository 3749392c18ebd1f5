"""Right answers in every order of summation against the limits of SPEC clause 12: none may be over.

`python benchmarks/bound_experiment.py [OUTPUTS]`, a million per row unless said otherwise. Exit status 1 where a right
answer lies beyond its limit.
"""

from __future__ import annotations

import argparse
import sys
import time

from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.golden.results import RESULTS
from tools.limits.experiments import MATRIX_PRODUCT, tallies
from tools.limits.summation import ORDERS

OUTPUTS = 1_000_000
SEED = 12
COLUMNS = (*ORDERS, MATRIX_PRODUCT)


def main(words: list[str]) -> int:
    """Run the experiment, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=int, nargs="?", default=OUTPUTS)
    outputs, over = parser.parse_args(words).outputs, 0
    print("largest error as a share of its limit, per order of summation; warned: beyond the line of SPEC 12.3")
    widths = [max(len(name), 8) for name in COLUMNS]
    head = "  ".join(name.rjust(width) for name, width in zip(COLUMNS, widths, strict=True))
    print(f"{'dtype':<9} {'result':<7}{'layers':>7}{'outputs':>10}{'over':>6}{'warned':>8}  {head}{'seconds':>9}")
    for dtype in DTYPES:
        for result in RESULTS:
            began = time.process_time()
            found = tallies(dtype, result, outputs, SEED)
            counts = [
                sum(getattr(tally, field) for tally in found.values()) for field in ("outputs", "over", "suspect")
            ]
            over += counts[1]
            worst = "  ".join(f"{found[name].worst:.3f}".rjust(w) for name, w in zip(COLUMNS, widths, strict=True))
            row = f"{dtype:<9} {result:<7}{found['serial'].layers:>7}{counts[0]:>10}{counts[1]:>6}{counts[2]:>8}"
            print(f"{row}  {worst}{time.process_time() - began:>9.1f}", flush=True)
    print(f"{over} right answers over their limit")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
