"""Print what diagnoses say, and their processor time: ``python -m tests.support.planted [NAME ...]``."""

import sys
import time
from collections import Counter

from tests.support.planted import MISTAKES, diagnosed, score


def main(names):
    """Print a line for each mistake, and the totals."""
    counts = Counter()
    for name in names:
        began = time.process_time()
        diagnosis = diagnosed(name)
        said = score(MISTAKES[name], diagnosis)
        counts[said] += 1
        seconds = time.process_time() - began
        sys.stdout.write(f"{said:<14}{name:<44}{seconds:5.1f} s  {diagnosis.line if diagnosis else ''}\n")
    sys.stdout.write(", ".join(f"{count} {said}" for said, count in counts.most_common()) + f" of {len(names)}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(MISTAKES))
