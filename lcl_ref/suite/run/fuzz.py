"""Random specifications against one layer, shrunk to a minimal one that fails; runs inside its worker process.

Operands are small integers, so the reference is exact and an answer that differs in any bit is wrong. Needs hypothesis.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import strategies as st

from lcl_ref.core.padding import PADDING_RULES
from lcl_ref.core.spec import Spec
from lcl_ref.errors import SpecError
from lcl_ref.suite.adapter import OPS, Adapter
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import results
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.judge.tasks import Task
from lcl_ref.suite.run.loading import Loaded, Send

BATCH = 50
"""Examples between two looks at the clock."""

LARGEST_WEIGHT = 4000


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Draw a legal layer with small sizes; simple settings come first, so that shrinking ends at them."""
    rank = draw(st.integers(0, 3))
    groups = draw(st.integers(1, 3))

    def axes(entries: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(entries, min_size=rank, max_size=rank))

    pairs = st.tuples(st.integers(0, 3), st.integers(0, 3))
    arguments: dict[str, Any] = {
        "input_size": axes(st.integers(1, 7 if rank < 3 else 4)),
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": axes(st.integers(1, 3)),
        "stride": axes(st.integers(1, 3)),
        "dilation": axes(st.integers(1, 2)),
        "padding": axes(st.one_of(st.sampled_from(list(PADDING_RULES)), pairs)),
        "groups": groups,
        "shared": axes(st.booleans()),
        "bias": draw(st.sampled_from(["none", "channel", "position"])),
    }
    try:
        spec = Spec(**arguments)
    except SpecError:
        hypothesis.reject()
    hypothesis.assume(math.prod(spec.weight_shape) <= LARGEST_WEIGHT)
    return spec


def task_of(spec: Spec, batch: int, dtype: str) -> Task:
    """Return the layer with operands drawn from its own description, and exact results."""
    name = f"fuzz/{hashlib.sha256(spec.to_json().encode()).hexdigest()[:16]}/{batch}"
    case = Case(id=name, spec=spec, batch=batch, why="drawn at random", clauses=())
    drawn = results.exact_operands(case)
    operands = {key: array.astype(FORMATS[dtype].dtype) for key, array in drawn.items()}
    tags = ("empty-batch",) if batch == 0 else ()
    return Task(spec, dtype, True, tags, operands, results.agreed(case, drawn))


def serve(loaded: Loaded, send: Send, **asked: Any) -> None:
    """Search random layers, and send what was found."""
    send("searched", **search(loaded.adapter, announce=lambda facts: send("trying", **facts), **asked))


def search(
    adapter: Adapter,
    dtypes: Sequence[str],
    examples: int,
    seconds: float,
    seed: int,
    announce: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Draw layers until one fails, the examples are used up or the time is over.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    dtypes : sequence of str
        Dtypes to draw from.
    examples, seconds, seed : int, float, int
        How long to search, and where to start: the same seed draws the same layers.
    announce : callable
        Called with each layer before it is asked, so that a crash is known to be its own.

    Returns
    -------
    dict
        ``tried`` and ``answered`` counts, and ``failure`` (spec, batch, dtype, op, state, message) or None.
    """
    counts = {"tried": 0, "answered": 0}
    failures: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds

    def attempt(spec: Spec, batch: int, dtype: str) -> None:
        facts = {"spec": spec.to_dict(), "batch": batch, "dtype": dtype}
        announce(facts)
        counts["tried"] += 1
        for outcome in _ask(adapter, spec, batch, dtype):
            counts["answered"] += outcome.state == "pass"
            if outcome.state in ("fail", "error"):
                failures.append(facts | {"op": outcome.op, "state": outcome.state, "message": outcome.message})
                raise AssertionError(outcome.message)

    for start in range(0, examples, BATCH):
        if time.monotonic() >= deadline:
            break
        test = hypothesis.given(spec=specs(), batch=st.sampled_from([2, 1, 3, 0]), dtype=st.sampled_from(dtypes))(
            attempt
        )
        test = hypothesis.settings(_settings(min(BATCH, examples - start)))(hypothesis.seed(seed + start)(test))
        try:
            test()
        except AssertionError:
            return counts | {"failure": failures[-1]}
    return counts | {"failure": None}


def _settings(examples: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def _ask(adapter: Adapter, spec: Spec, batch: int, dtype: str) -> list[Outcome]:
    evaluator = Evaluator(adapter)
    task = task_of(spec, batch, dtype)
    return [evaluator.judge_task(Cell(adapter.declaration.name, "fuzz", op, dtype), task) for op in OPS]
