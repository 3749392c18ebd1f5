"""Random layers on which the limits are tried: right answers must all pass, cheaper arithmetic must be seen.

`benchmarks/bound_experiment.py` and `benchmarks/reduced_precision.py` run them at length, the tests in short.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import limit, magnitudes, warning_line
from tools.limits.summation import ORDERS, nearest, terms_of

Array = NDArray[Any]
Operands = dict[str, Array]

SIGNS = ("mixed", "one")
MATRIX_PRODUCT = "matrix product"
MOST_TERMS = 1_000_000
"""Products of one layer: what is summed at a time fits in memory."""

MOST_ELEMENTS = 2000
"""Elements of one result of one layer: many elements take many layers."""

BINADES = {"float16": (-6, 3), "bfloat16": (-20, 20), "float32": (-20, 20), "float64": (-60, 60)}
"""Exponents of the operands in every third layer; the others are those of the rounded cases, -3 to 0."""


def stream(seed: int) -> np.random.Generator:
    """Return a stream of random numbers of its own."""
    return np.random.Generator(np.random.Philox(seed))


def random_layer(random: np.random.Generator) -> tuple[Spec, int]:
    """Return a layer of any rank with any settings, and a batch."""
    rank = int(random.integers(0, 4))
    kernel = [int(random.integers(1, (0, 30, 6, 4)[rank] + 1)) for _ in range(rank)]
    dilation = [int(random.integers(1, 3)) for _ in range(rank)]
    padding = [tuple(map(int, random.integers(0, 3, 2))) for _ in range(rank)]
    extents = [spread * (taps - 1) + 1 for taps, spread in zip(kernel, dilation, strict=True)]
    groups = int(random.integers(1, 4))
    spec = Spec(
        input_size=[extent + int(random.integers(0, 5)) for extent in extents],
        in_channels=groups * int(random.integers(1, 200 if rank == 0 else 9)),
        out_channels=groups * int(random.integers(1, 5)),
        kernel_size=kernel,
        stride=[int(random.integers(1, 4)) for _ in range(rank)],
        padding=padding,
        dilation=dilation,
        groups=groups,
        shared=[bool(random.integers(0, 2)) for _ in range(rank)],
        bias=("position", "channel")[int(random.integers(0, 2))],
    )
    return spec, int(random.integers(1, 9))


def random_operands(
    random: np.random.Generator, spec: Spec, batch: int, dtype: str, signs: str, binades: tuple[int, int] = (-3, 0)
) -> Operands:
    """Return reals exact in `dtype`, with full significands and exponents of `binades`, of mixed or of one sign."""
    operands = {}
    for name, shape in spec.operand_shapes(batch).items():
        exponents = random.integers(binades[0], binades[1] + 1, shape)
        sizes = np.ldexp(1 + random.random(shape), exponents)
        flips = random.integers(0, 2, shape) if signs == "mixed" else np.zeros(shape, np.int64)
        operands[name] = np.where(flips, -sizes, sizes).astype(FORMATS[dtype].dtype)
    return operands


@dataclass
class Tally:
    """How right answers stood against their limits."""

    layers: int = 0
    outputs: int = 0
    over: int = 0
    suspect: int = 0
    worst: float = 0.0

    def add(self, error: Array, allowed: Array, line: Array) -> None:
        """Count the elements of one result, those beyond the limit and beyond the warning line (SPEC 12.2, 12.3)."""
        self.layers += 1
        self.outputs += error.size
        self.over += int((error > allowed).sum())
        self.suspect += int((error > line).sum())
        ratios = np.divide(error, allowed, out=np.zeros_like(error), where=error > 0)
        self.worst = max(self.worst, float(ratios.max(initial=0.0)))


def right_answers(
    spec: Spec, operands: Mapping[str, Array], dtype: str, result: str
) -> Iterator[tuple[str, NDArray[np.float64], Array]]:
    """Yield ``(order, golden, answer)``, flat: one result summed in every order, kept as SPEC 8.3 says, stored."""
    form = FORMATS[dtype]
    kept = FORMATS[form.accumulation].dtype
    terms = terms_of(spec, operands, result)
    golden = nearest(terms)
    for name, order in ORDERS.items():
        yield name, golden, order(terms.astype(kept)).astype(form.dtype)
    wide = {name: operand.astype(kept) for name, operand in operands.items()}
    yield MATRIX_PRODUCT, golden, by_matrix_product(spec, wide, result).reshape(-1).astype(form.dtype)


def by_matrix_product(spec: Spec, operands: Mapping[str, Array], result: str) -> Array:
    """Return one result by the library behind NumPy's matrix product, in the dtype of the operands."""
    x, weight, dy = operands["x"], operands["weight"], operands["dy"]
    if result == "y":
        return batched.forward(spec, x, weight, operands.get("bias"))
    gradients: dict[str, Array | None] = dict(
        zip(OPERATIONS["vjp"].results, batched.vjp(spec, x, weight, dy), strict=True)
    )
    found = gradients[result]
    assert found is not None
    return found


def tallies(dtype: str, result: str, outputs: int, seed: int) -> dict[str, Tally]:
    """Return per order of summation how right answers stood, for random layers of `outputs` elements in all orders."""
    random, form = stream(seed), FORMATS[dtype]
    found: dict[str, Tally] = {}
    layers = 0
    while sum(tally.outputs for tally in found.values()) < outputs:
        spec, batch = random_layer(random)
        products = math.prod(spec.y_shape(batch)) * spec.fan_in
        if products > MOST_TERMS or math.prod(spec.result_shapes(batch)[result]) > MOST_ELEMENTS:
            continue
        binades = BINADES[dtype] if layers % 3 == 2 else (-3, 0)
        operands = random_operands(random, spec, batch, dtype, SIGNS[layers % 2], binades)
        magnitude = magnitudes(spec, operands)[result]
        for order, golden, answer in right_answers(spec, operands, dtype, result):
            truth, kept = golden.reshape(magnitude.total.shape), FORMATS[form.accumulation]
            lines = [line(magnitude, truth, form, kept).reshape(-1) for line in (limit, warning_line)]
            found.setdefault(order, Tally()).add(np.abs(answer.astype(np.float64) - golden), *lines)
        layers += 1
    return found
