"""Processor seconds the smoke tier takes of each adapter that is named, start of its framework apart (aim: 2 s)."""

import argparse
import time

from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import load, resolve


def main() -> None:
    """Print one line per adapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backends", nargs="*", default=["numpy.loop", "numpy.matmul", "torch.unfold"])
    store = fixtures.verify(fixtures.default_root())
    plan = make_plan(resolve(parser.parse_args().backends), store, in_tier("smoke"), tier="smoke")
    for ref, cells in plan.items():
        evaluator = Evaluator(load(ref), store)
        evaluator.judge(cells[0])
        began = time.process_time()
        states = {evaluator.judge(cell).state for cell in cells}
        print(
            f"{ref.name:<24} {time.process_time() - began:6.2f} s for {len(cells)} cells: {', '.join(sorted(states))}"
        )


if __name__ == "__main__":
    main()
