"""Right results in four orders of summation, with fused multiply-add and without, before the warning of SPEC 12.11.

`python benchmarks/rounding_bias.py [RESULTS]`, ten million in all unless said otherwise. Exit status 1 where one is
warned of. Below them, for comparison: sums of which every operation rounds to one side.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from lcl_ref.suite.formats import DTYPES
from tools.limits.directed import DIRECTIONS, serial
from tools.limits.leaning import RIGHT, seen

RESULTS = 10_000_000
SEED = 16
SHARE_DIRECTED = 50
"""One result in so many is rounded to one side."""


def main(words: list[str]) -> int:
    """Run the experiment, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=int, nargs="?", default=RESULTS)
    results, total, alarms = parser.parse_args(words).results, 0, 0
    print("share: largest share of the errors of one tensor to one side")
    print(f"{'dtype':<9} {'sums':<16}{'tensors':>9}{'results':>10}{'warned':>8}{'share':>7}{'seconds':>9}")
    directed = {name: partial(serial, direction=direction) for name, direction in DIRECTIONS.items()}
    for dtype in DTYPES:
        for sums, asked in ((RIGHT, results // len(DTYPES)), (directed, results // SHARE_DIRECTED)):
            if sums is directed and dtype not in ("float32", "float64"):
                continue
            began = time.process_time()
            for name, one in seen(dtype, sums, asked, SEED).items():
                print(
                    f"{dtype:<9} {name:<16}{one.tensors:>9}{one.results:>10}{one.alarms:>8}{one.share:>7.2f}",
                    flush=True,
                )
                if sums is RIGHT:
                    total, alarms = total + one.results, alarms + one.alarms
            print(f"{time.process_time() - began:>68.1f}", flush=True)
    print(f"{alarms} false alarms over {total} right results")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
