"""Layers that are right as functions and wrong as programs: they change their inputs, remember, or vary (SPEC 8.4).

No array of theirs can be predicted, so they are wrappers around a right layer; the suite's own evaluator has to
notice them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.suite.diagnosis.deviations.deviation import Deviation

Forward = Callable[[Spec, Any, Any, Any], Any]


def mutating(layer: Forward) -> Forward:
    """Return the layer with a bug: it writes into x."""

    def forward(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
        y = layer(spec, x, weight, bias)
        x *= 2
        return y

    return forward


def caching(layer: Forward) -> Forward:
    """Return the layer with a bug: it keeps the first weights it saw of each shape."""
    seen: dict[Any, tuple[Any, Any]] = {}

    def forward(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
        kept = seen.setdefault((spec, x.dtype.name), (np.array(weight), None if bias is None else np.array(bias)))
        return layer(spec, x, *kept)

    return forward


def racing(layer: Forward) -> Forward:
    """Return the layer with a bug: every third call loses the last output element, as a race between threads may."""
    calls = 0

    def forward(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
        nonlocal calls
        calls += 1
        y = np.array(layer(spec, x, weight, bias))
        if calls % 3 == 0 and y.size:
            y.reshape(-1)[-1] = 0
        return y

    return forward


WRAPPERS: dict[str, Callable[[Forward], Forward]] = {
    "behaviour/input-mutated": mutating,
    "behaviour/stale-weights": caching,
    "behaviour/nondeterministic": racing,
}

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        id="behaviour/input-mutated",
        sentence="the layer writes into its input",
        clause="8.4",
        fix="compute out of place",
        needs="nothing",
        known_in="in-place padding or activation",
        kind="behaviour",
        parts=("y",),
    ),
    Deviation(
        id="behaviour/stale-weights",
        sentence="weights are cached at the first call and not read again",
        clause="8.4",
        fix="read the weights on every call, or rebuild what was prepared from them",
        needs="two calls with different weights",
        known_in="a compiled or prepared layer that holds its weights as constants",
        kind="behaviour",
        parts=("y",),
    ),
    Deviation(
        id="behaviour/nondeterministic",
        sentence="equal calls give different results",
        clause="8.4",
        fix="look for a race, uninitialised memory, or dropout left on",
        needs="more than one call",
        kind="behaviour",
        parts=("y",),
    ),
)
