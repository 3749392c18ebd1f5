"""Right results, and results of operations that round to one side, before the warning of SPEC 12.11.

`benchmarks/rounding_bias.py` runs it at length, the tests in short.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import real_kinds
from lcl_ref.suite.judge.rounding import SHARE, shares
from tools.limits.experiments import random_layer, stream
from tools.limits.summation import APART, TOGETHER, Terms, nearest, terms_of

Array = NDArray[Any]
Sum = Callable[[Terms], Array]

KINDS = ("", "positive", "wide", "mixed", "cancelling", "small")
"""Kinds of operands, as the rounded cases have them."""

RESULTS = ("y", "dx", "dw")
ELEMENTS = range(512, 4001)
MOST_TERMS = 200_000
RIGHT: Mapping[str, Sum] = APART | TOGETHER


@dataclass
class Seen:
    """What the warning said of results that were summed in one way.

    Parameters
    ----------
    results, tensors, alarms : int
        How many results, in how many tensors, and how many of these were warned of.
    share : float
        The largest share of the errors of one tensor to one side.
    """

    results: int = 0
    tensors: int = 0
    alarms: int = 0
    share: float = 0.0


def tensors(dtype: str, seed: int) -> Iterator[tuple[Terms, Array]]:
    """Yield terms and golden results, flat, of one result of one random layer after the other, without end."""
    random, number = stream(seed), 0
    while True:
        spec, batch = random_layer(random)
        result = RESULTS[number % len(RESULTS)]
        elements, products = math.prod(spec.result_shapes(batch)[result]), batch * spec.connection_count
        if elements in ELEMENTS and products <= MOST_TERMS:
            kind = KINDS[number % len(KINDS)]
            case = Case(id=f"leaning/{seed}/{number}", spec=spec, batch=batch, why="", clauses=(), operands=kind)
            operands = {name: drawn.floats() for name, drawn in real_kinds.drawn(case, dtype).items()}
            terms = terms_of(spec, operands, result)
            yield terms, nearest(terms)
            number += 1


def seen(dtype: str, sums: Mapping[str, Sum], results: int, seed: int) -> dict[str, Seen]:
    """Return what the warning says of `results` results in all, each tensor summed in every way of `sums`."""
    form = FORMATS[dtype]
    kept = FORMATS[form.accumulation].dtype
    found = {name: Seen() for name in sums}
    source = tensors(dtype, seed)
    while sum(one.results for one in found.values()) < results:
        terms, golden = next(source)
        for name, one in found.items():
            answer = sums[name](terms.astype(kept)).astype(form.dtype).astype(np.float64)
            one.results += answer.size
            one.tensors += 1
            share = max(shares(answer - golden, golden).values(), default=0.0)
            one.alarms += share >= SHARE
            one.share = max(one.share, share)
    return found
