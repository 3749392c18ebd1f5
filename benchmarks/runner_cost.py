"""What the runner costs per cell beyond the layer's own work: `lcl run` over numpy.matmul against the same calls alone.

Contestants alternate inside one run; medians and spread are printed. The aim is 2 ms a cell at most.
"""

import argparse
import statistics
import time
from pathlib import Path

from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.judge.tasks import load_task
from lcl_ref.suite.run.cells import Plan, make_plan
from lcl_ref.suite.run.loading import load, resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings

BACKEND = "numpy.matmul"


def layer_alone(store: Store, cells: list[Cell], adapter: Adapter) -> float:
    """Return seconds of preparing and calling the layer as often as the runner does (twice a cell)."""
    total, key, layer = 0.0, None, None
    for cell in cells:
        task = load_task(store, cell.case, cell.dtype)
        began = time.perf_counter()
        if key != (cell.case, cell.dtype):
            layer = adapter.prepare(task.spec, task.operands["weight"], task.operands.get("bias"), cell.dtype)
            key = cell.case, cell.dtype
        for _ in range(2):
            answers_of(layer, cell.op, task.operands)
        total += time.perf_counter() - began
    return total


def whole_runner(plan: Plan, data: Path) -> float:
    """Return seconds from the moment the worker has loaded its backend to the last outcome."""
    with MatrixRun(plan, Settings(data, jobs=1, timeout=60.0)) as matrix:
        events = iter(matrix)
        next(events)
        began = time.perf_counter()
        outcomes = [event for event in events if isinstance(event, Outcome)]
    assert all(outcome.state == "pass" for outcome in outcomes)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    data = fixtures.default_root()
    store = fixtures.verify(data)
    plan = make_plan(resolve([BACKEND]), store)
    (ref, cells), *_ = plan.items()
    adapter = load(ref)
    costs = []
    for _ in range(rounds):
        alone, run = layer_alone(store, cells, adapter), whole_runner(plan, data)
        costs.append((run - alone) / len(cells) * 1e3)
        print(f"layer {alone:6.2f} s, runner {run:6.2f} s, {len(cells)} cells: {costs[-1]:.3f} ms a cell")
    print(f"runner's own cost: median {statistics.median(costs):.3f} ms, {min(costs):.3f} to {max(costs):.3f}")


if __name__ == "__main__":
    main()
