"""Random layers within what one layer supports, shrunk to a minimal one that fails; runs inside its worker process.

Operands lie in memory in any order that the layer takes. They are small integers, so the reference is exact and an
answer that differs in any bit is wrong. Answers that are right go to the host as well, which judges them again. Needs
hypothesis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import hypothesis
import numpy as np
from hypothesis import strategies as st

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPS, Adapter, Capabilities
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.orders import ORDERS
from lcl_ref.suite.judge.ask import Asker
from lcl_ref.suite.judge.evaluate import judged
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.judge.transport import packed
from lcl_ref.suite.run.drawn_cases import BATCHES, DrawnCase, fuzz_case, supports
from lcl_ref.suite.run.draws import STYLES, Styles, drawn_spec, drawn_style, probing_styles
from lcl_ref.suite.run.loading import Loaded, Send

T = TypeVar("T")

BATCH = 50
"""Examples between two looks at the clock."""

MOST_ROUNDS = 4
"""How many times as many rounds as the examples need are begun in search of layers that are supported."""


ORDERS_OF_ALL_NUMBERS = ("fortran", "transposed", "strided", "offset", "read-only")
"""Memory orders that leave every number as it is, and that tensors of every framework can have."""


class _Choices:
    """The choices of hypothesis, which shrinks them towards the first option and the lowest number."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return self._draw(st.sampled_from(options))

    def integer(self, low: int, high: int) -> int:
        """Return a number from `low` to `high`."""
        return self._draw(st.integers(low, high))


@st.composite
def drawn_cases(draw: st.DrawFn, styles: Styles, orders: Sequence[str]) -> DrawnCase:
    """Draw a layer of these styles and a memory order; simple settings come first, so that shrinking ends at them."""
    choices = _Choices(draw)
    order = choices.pick(("", "", "", *orders))
    spec = drawn_spec(drawn_style(choices, styles), choices)
    if spec is None:
        hypothesis.reject()
    batch = choices.pick((2, *sorted(BATCHES)[1:], 0))
    return fuzz_case(spec, batch, nonfinite=choices.integer(0, 7) == 7, order=order)


def supported_styles(capabilities: Capabilities, dtypes: Sequence[str]) -> Styles:
    """Return the kinds of each setting that a layer supports in some drawn layer; nothing where it supports none."""

    def supported(spec: Spec) -> bool:
        case = DrawnCase("probe", spec, 1)
        return any(supports(capabilities, case, dtype, op) for dtype in dtypes for op in OPS)

    found = [style.to_dict() for style, spec in probing_styles() if supported(spec)]
    known = {name: {style[name] for style in found} for name in STYLES}
    kept = {name: tuple(kind for kind in kinds if kind in known[name]) for name, kinds in STYLES.items()}
    return kept if found else {}


def serve(loaded: Loaded, send: Send, **asked: Any) -> None:
    """Search random layers, and send what was found."""
    send("searched", **search(loaded.adapter, send, **asked))


def search(
    adapter: Adapter,
    send: Callable[..., None],
    dtypes: Sequence[str],
    examples: int,
    seconds: float,
    seed: int,
) -> dict[str, Any]:
    """Draw layers until one fails, the examples are used up or the time is over.

    Parameters
    ----------
    adapter : Adapter
        The layer.
    send : callable
        Called with ``trying`` before each layer is asked, so that a crash is known to be its own, and with ``answer``
        for each answer that is right.
    dtypes : sequence of str
        Dtypes to draw from.
    examples, seconds, seed : int, float, int
        How long to search, and where to start: the same seed draws the same layers.

    Returns
    -------
    dict
        ``tried`` and ``answered`` counts, and ``failure`` (spec, batch, dtype, op, state, message) or None.
    """
    counts = {"tried": 0, "answered": 0}
    failures: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    capabilities = adapter.declaration.capabilities

    def attempt(case: DrawnCase, dtype: str) -> None:
        ops = [op for op in OPS[: 1 if case.nonfinite else None] if supports(capabilities, case, dtype, op)]
        hypothesis.assume(case.amplitude(dtype) and ops)
        facts = facts_of(case) | {"dtype": dtype}
        send("trying", **facts)
        counts["tried"] += 1
        for outcome in _ask(adapter, case, dtype, ops, send):
            counts["answered"] += outcome.state == "pass"
            if outcome.state in ("fail", "error"):
                failures.append(facts | {"op": outcome.op, "state": outcome.state, "message": outcome.message})
                raise AssertionError(outcome.message)

    styles = supported_styles(capabilities, dtypes)
    taken = [order for order in ORDERS_OF_ALL_NUMBERS if not CHECKS[f"memory/{order}"].refusal(capabilities.declines)]
    cases = drawn_cases(styles, taken)
    for number in range(MOST_ROUNDS * -(-examples // BATCH) if styles else 0):
        send("drawing")
        left = min(BATCH, examples - counts["tried"])
        if left <= 0 or time.monotonic() >= deadline:
            break
        test = hypothesis.given(case=cases, dtype=st.sampled_from(dtypes))(attempt)
        test = hypothesis.settings(_settings(left))(hypothesis.seed(seed + number * BATCH)(test))
        try:
            test()
        except AssertionError:
            return counts | {"failure": failures[-1]}
        except hypothesis.errors.Unsatisfiable:
            continue
    return counts | {"failure": None}


def facts_of(case: DrawnCase) -> dict[str, Any]:
    """Return what a case is made of, JSON-ready."""
    return {"spec": case.spec.to_dict(), "batch": case.batch, "nonfinite": case.nonfinite, "order": case.order}


def _settings(examples: int) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def _ask(adapter: Adapter, case: DrawnCase, dtype: str, ops: Sequence[str], send: Callable[..., None]) -> list[Outcome]:
    asker, task = Asker(adapter, lay=ORDERS[case.order] if case.order else np.array), case.task(dtype)
    declared = adapter.declaration.capabilities.accumulation
    found = []
    for op in ops:
        reply = asker.ask(op, task)
        found.append(judged(Cell(adapter.declaration.name, "fuzz", op, dtype), task, reply, declared))
        if found[-1].state == "pass":
            facts, arrays = packed(reply)
            send("answer", arrays, asked=facts_of(case) | {"dtype": dtype, "op": op}, **facts)
    return found
