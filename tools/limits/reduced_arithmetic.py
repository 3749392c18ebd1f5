"""Cheaper arithmetic on purpose: whether the suite sees it, and names it (SPEC clauses 12.3, 12.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import precision
from lcl_ref.suite.judge.bounds import Magnitude, magnitudes
from lcl_ref.suite.judge.compare import Expected, Mismatch, axes_of, check
from lcl_ref.suite.judge.tasks import load_task
from tools.limits.experiments import (
    by_matrix_product,
    random_layer,
    random_operands,
    stream,
)
from tools.limits.summation import ORDERS, terms_of

Array = NDArray[Any]
Verdict = Literal["pass", "warned", "failed"]

ASKED = tuple(tuple(name for name in OPERATIONS[op].results if name != "db") for op in ("forward", "vjp"))
"""Results of each operation that are sums of products; db has no product whose factors could be rounded."""

MOST_PRODUCTS = 100_000


@dataclass(frozen=True)
class Cheaper:
    """A cheaper arithmetic.

    Parameters
    ----------
    dtype : str
        Dtype of operands and answer.
    inputs : str
        Key of `precision.ROUNDINGS` by which the operands are rounded, or empty.
    sums : str
        Format in which sums are kept, or empty for the expected one.
    order : str
        Key of `summation.ORDERS`, where sums are kept in another format.
    least_terms, least_elements : int
        What some result of a case must have to be asked: a single element can come out right by chance.
    """

    dtype: str
    inputs: str = ""
    sums: str = ""
    order: str = ""
    least_terms: int = 1
    least_elements: int = 1

    @property
    def name(self) -> str:
        """What the suite should call it."""
        return f"sums kept in {self.sums}" if self.sums else f"inputs rounded to {self.inputs}"

    def is_named_by(self, words: str) -> bool:
        """Return whether the suite's words are its name, or name it among others that compute the same."""
        *kind, which = self.name.split()
        return words.split()[: len(kind)] == kind and which in words.split()

    def asks(self, sizes: Iterable[Magnitude]) -> bool:
        """Return whether a case with these results is one to ask."""
        return any(size.terms.max() >= self.least_terms and size.terms.size >= self.least_elements for size in sizes)


HALF_TERMS, HALF_ELEMENTS = 64, 16

ARITHMETICS: tuple[Cheaper, ...] = (
    *(Cheaper("float32", inputs=name) for name in precision.ROUNDINGS),
    *(
        Cheaper(dtype, sums=half, order=order, least_terms=HALF_TERMS, least_elements=HALF_ELEMENTS)
        for half in precision.HALVES
        for dtype in (half, "float32")
        for order in ("serial", "blocked")
    ),
)


@dataclass
class Seen:
    """Of how many cases (a layer and an operation) the suite saw, and named, the cheaper arithmetic."""

    cases: int = 0
    failed: int = 0
    warned: int = 0
    named: int = 0

    @property
    def flagged(self) -> float:
        """The share of cases that failed or passed with a warning."""
        return (self.failed + self.warned) / self.cases


def seen(arithmetic: Cheaper, signs: str, cases: int, seed: int) -> Seen:
    """Let the suite judge `cases` answers of random layers computed in a cheaper arithmetic."""
    random, found = stream(seed), Seen()
    while found.cases < cases:
        spec, batch = random_layer(random)
        if spec.connection_count * batch > MOST_PRODUCTS:
            continue
        operands = random_operands(random, spec, batch, arithmetic.dtype, signs)
        sizes = magnitudes(spec, operands)
        _judge(found, arithmetic, spec, operands, sizes)
    return found


def seen_in_catalogue(arithmetic: Cheaper, store: Store) -> Seen:
    """Let the suite judge the answers of a cheaper arithmetic to the rounded cases of plain numbers, of any size."""
    found, arithmetic = Seen(), replace(arithmetic, least_elements=1)
    for case in CASES:
        if case.values == "rounded" and case.topic != "values":
            operands = load_task(store, case.id, arithmetic.dtype).operands
            _judge(found, arithmetic, case.spec, operands, magnitudes(case.spec, operands))
    return found


def _judge(
    found: Seen, arithmetic: Cheaper, spec: Spec, operands: Mapping[str, Array], sizes: Mapping[str, Magnitude]
) -> None:
    """Count each operation: the worst verdict on its results, and whether any of them got the right name."""
    for results in ASKED:
        if not arithmetic.asks(sizes[result] for result in results):
            continue
        verdicts, names = set(), set()
        for result in results:
            answer = cheaper_answer(arithmetic, spec, operands, result)
            verdict, name = judged(arithmetic.dtype, spec, operands, answer, result, sizes[result])
            verdicts.add(verdict)
            names.add(name)
        found.cases += 1
        found.failed += "failed" in verdicts
        found.warned += "warned" in verdicts and "failed" not in verdicts
        found.named += any(arithmetic.is_named_by(name) for name in names)


def cheaper_answer(arithmetic: Cheaper, spec: Spec, operands: Mapping[str, Array], result: str) -> Array:
    """Return one result in a cheaper arithmetic."""
    dtype = FORMATS[arithmetic.dtype].dtype
    if arithmetic.sums:
        kept = FORMATS[arithmetic.sums].dtype
        terms = terms_of(spec, operands, result)
        sums = ORDERS[arithmetic.order](terms.astype(kept))
        return sums.astype(dtype).reshape(spec.result_shapes(len(operands["x"]))[result])
    rounding = precision.ROUNDINGS[arithmetic.inputs]
    rounded = {
        name: operand.astype(np.float64) if name == "bias" else rounding(operand.astype(np.float64))
        for name, operand in operands.items()
    }
    return by_matrix_product(spec, rounded, result).astype(dtype)


def judged(
    dtype: str, spec: Spec, operands: Mapping[str, Array], answer: Array, result: str, size: Magnitude
) -> tuple[Verdict, str]:
    """Return the suite's verdict on an answer, and the cheaper arithmetic it names, or nothing."""
    form = FORMATS[dtype]
    sums = FORMATS[form.accumulation]
    golden = by_matrix_product(spec, {name: operand.astype(np.float64) for name, operand in operands.items()}, result)
    axes = axes_of(result, spec.rank, spec.bias)
    verdict: Verdict = "pass"
    try:
        if check(Expected(result, golden, dtype, axes, False, sums, lambda: size), answer).warning:
            verdict = "warned"
    except Mismatch:
        verdict = "failed"
    if verdict == "pass":
        return verdict, ""
    return verdict, precision.cheaper_arithmetic(spec, operands, result, answer, size, form, sums)
