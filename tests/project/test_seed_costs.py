"""The script of costs runs, and what it counts (not what it times) says what it says it does."""

from tests.support.paths import ROOT
from tests.support.programs import python

SCRIPT = ROOT / "benchmarks" / "seed_costs.py"


def test_counts_of_the_script():
    done = python(SCRIPT, "--quick", check=True)
    words = [line.split() for line in done.stdout.splitlines()]
    saved = {(" ".join(row[:-3]), int(row[-3])): int(row[-1]) for row in words if row and row[0] in ROUTES}
    assert len(saved) == 2 * len(ROUTES)
    for route in ("loop", "grouped", "bmm"):
        assert saved[route, 32] == 4 * saved[route, 8], route
    assert saved["masked", 32] > 10 * saved["masked", 8], "weight, mask and product grow with the square of the blocks"
    parameters = [int(row[2]) for row in words if len(row) == 5 and row[0] in "1248" and row[2] == row[3]]
    assert parameters == sorted(set(parameters)) == [576, 1152, 2304, 4608]
    assert done.stdout.count("claim ") == done.stdout.count("verdict ") == 5


ROUTES = ("loop", "masked", "grouped", "bmm", "loop as posted")
