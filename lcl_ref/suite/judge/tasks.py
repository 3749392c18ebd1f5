"""A question and its right answer: a case of the golden data in one dtype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERANDS, OPERATIONS
from lcl_ref.suite.formats import FORMATS, FloatFormat, from_parts, in_parts
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import bounds, conjugation, precision, value_mistakes
from lcl_ref.suite.judge.compare import Expected, axes_of

Array = NDArray[Any]

COMPLEX = "complex64"

MANY_POSITIONS = 1 << 12
"""A layer that loops over more positions takes seconds: such cases are asked little (SPEC clause 11.8), and once."""

MANY_CHANNELS = 1 << 12
"""A layer that loops over output channels takes seconds: y alone is asked, in one format."""

COUNTED_IN_16_BITS = 1 << 16
"""So many positions are asked for y alone: an index that is too narrow for more is wrong beyond."""

WELL_WITHIN = 2**11
"""Whole numbers up to this one survive any rounding that has a name."""


@dataclass(frozen=True)
class Task:
    """A case in one dtype: the layer, its operands in that dtype, and the golden results."""

    spec: Spec
    dtype: str
    exact: bool
    tags: tuple[str, ...]
    operands: Mapping[str, Array]
    golden: Mapping[str, Array]
    _magnitudes: dict[str, bounds.Magnitude] = field(default_factory=dict)

    def expected(self, op: str, accumulation: FloatFormat) -> list[Expected]:
        """Return the golden results of `op` and how answers are compared with them."""
        return [
            Expected(
                name,
                self.golden[name],
                self.dtype,
                axes_of(name, self.spec.rank, self.spec.bias),
                self.exact,
                accumulation,
                lambda name=name: self.magnitude(name),  # type: ignore[misc]
            )
            for name in OPERATIONS[op].results
            if name in self.golden
        ]

    def cause(self, expected: Expected, got: Array) -> tuple[str, str]:
        """Return the name of the mistake, if it has one, and what explains a wrong answer of its kind of numbers."""
        if self.dtype == COMPLEX:
            return "", conjugation.mistake_of(self.spec, self.operands, got)
        name = value_mistakes.mistake_of(self.spec, self.operands, expected, got)
        if name:
            return name, f"{name}: {value_mistakes.SENTENCES[name]}"
        if self.exact and expected.magnitude().total.max(initial=0) <= WELL_WITHIN:
            return "", ""
        return "", self.reduced_precision(expected, got)

    def reduced_precision(self, expected: Expected, got: Array) -> str:
        """Return ``reduced precision: ...`` where a cheaper arithmetic explains an answer, else nothing."""
        form = FORMATS[self.dtype]
        size, sums = expected.magnitude(), expected.accumulation
        cause = precision.cheaper_arithmetic(self.spec, self.operands, expected.result, got, size, form, sums)
        return f"reduced precision: {cause}" if cause else ""

    def magnitude(self, result: str) -> bounds.Magnitude:
        """Return S and K of the elements of one result, computed once."""
        if not self._magnitudes:
            sizes = {name: np.abs(in_parts(array)) for name, array in self.operands.items()}
            if self.dtype == COMPLEX:
                sizes = {name: size.sum(axis=-1) for name, size in sizes.items()}
                sizes["dy"] = np.zeros(self.golden["y"].shape, np.float32)
            finite = {name: np.nan_to_num(size, posinf=0) for name, size in sizes.items()}
            self._magnitudes.update(bounds.magnitudes(self.spec, finite))
        return self._magnitudes[result]


def load_task(store: Store, case_id: str, dtype: str) -> Task:
    """Read one case from the golden data, its operands converted to `dtype` (exact by their certificate)."""
    entry = store.entries[case_id]
    stored = store.arrays(case_id)
    if entry["values"] == "complex":
        dtype = COMPLEX
        stored = {name: from_parts(array) for name, array in stored.items()}
    if entry["values"] == "rounded":
        stored = {
            name.removeprefix(f"{dtype}/"): array for name, array in stored.items() if name.startswith(f"{dtype}/")
        }
    with np.errstate(over="ignore"):  # of an operand that no cell of this case takes in `dtype` (`cell_exists`)
        operands = {name: stored[name].astype(FORMATS[dtype].dtype) for name in OPERANDS if name in stored}
    golden = {name: array for name, array in stored.items() if name not in OPERANDS}
    exact = entry["values"] != "rounded"
    return Task(store.spec(case_id), dtype, exact, tuple(entry["tags"]), operands, golden)


def cell_exists(entry: Mapping[str, Any], op: str, dtype: str) -> bool:
    """Return whether an index entry is asked for `op` in `dtype`: exact sums fit the significand, positions are few."""
    if (entry["values"] == "complex") != (dtype == COMPLEX):
        return False
    if entry["values"] in ("nonfinite", "complex"):
        return op == "forward"
    if entry["values"] == "rounded":
        return True
    *axes, channels = entry["arrays"]["y"]["shape"][1:]
    positions = math.prod(axes)
    if channels > MANY_CHANNELS and (dtype != "float32" or op != "forward"):
        return False
    if positions > MANY_POSITIONS and (dtype != "float32" or (op != "forward" and positions <= COUNTED_IN_16_BITS)):
        return False
    peak: int = max(entry["certificate"].get(name, 0) for name in OPERATIONS[op].results)
    return peak <= FORMATS[dtype].largest_exact_integer
