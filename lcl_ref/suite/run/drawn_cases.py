"""Cases that are in no golden data: drawn from a seed, with small integers for operands, answered by the reference.

``fresh/<seed>/<n>`` names one: the same name is the same layer and the same operands everywhere (SPEC clause 11.9).
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.formats import DTYPES, FORMATS
from lcl_ref.suite.golden import values
from lcl_ref.suite.golden.results import results
from lcl_ref.suite.judge.tasks import Task
from lcl_ref.suite.run.draws import Stream, drawn_spec, drawn_style

Arrays = dict[str, NDArray[Any]]
Question = tuple[str, str, str]
"""Case, operation and dtype."""

PREFIX = "fresh/"
_NAME = re.compile(r"fresh/\d+/\d+")

SEEDS = 10**6

MOST_DRAWS = 2000
"""How many layers are drawn at most in search of those that a layer supports."""

NARROW = 10
"""A layer that supports less than one draw in so many is asked more of them."""

BATCHES = (1, 2, 3, 5, 1, 2, 3, 0)


@dataclass(frozen=True)
class DrawnCase:
    """A layer, and how many samples it is asked with.

    Parameters
    ----------
    name : str
        Key of the operands.
    spec : Spec
        The layer.
    batch : int
        Samples.
    dtypes : tuple of str
        All dtypes, in the order in which they are tried.
    nonfinite : bool
        Whether x holds an inf, a -inf and a NaN.
    order : str
        How operands lie in memory, as in `lcl_ref.suite.checks.orders`; empty for C order.
    """

    name: str
    spec: Spec
    batch: int
    dtypes: tuple[str, ...] = DTYPES
    nonfinite: bool = False
    order: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags as those of a case of the catalogue."""
        empty, nonfinite = ("empty-batch",) * (self.batch == 0), ("nonfinite",) * self.nonfinite
        return empty + nonfinite

    def amplitude(self, dtype: str) -> int:
        """Return the largest operand with which every sum is exact in `dtype` in any order; 0 where none is."""
        spec, positions = self.spec, math.prod(self.spec.output_size)
        terms = max(spec.fan_in, math.prod(spec.kernel_size) * spec.out_channels, self.batch * positions)
        largest = FORMATS[dtype].largest_exact_integer
        return next((size for size in values.AMPLITUDES if terms * size * size + values.BIAS_AMPLITUDE <= largest), 0)

    def operands(self, dtype: str) -> Arrays:
        """Return the operands, whole numbers but for what is planted in x."""
        sizes = {"bias": values.BIAS_AMPLITUDE}
        drawn: Arrays = {
            name: values.integers(self.name, name, shape, sizes.get(name, self.amplitude(dtype)))
            for name, shape in self.spec.operand_shapes(self.batch).items()
        }
        if self.nonfinite:
            drawn["x"] = values.plant(self.name, drawn["x"])
        return {name: array.astype(FORMATS[dtype].dtype) for name, array in drawn.items()}

    def task(self, dtype: str, *, answered: bool = True) -> Task:
        """Return the question, with its right results if it is to be `answered`."""
        operands = self.operands(dtype)
        return Task(self.spec, dtype, True, self.tags, operands, self._results(operands) if answered else {})

    def _results(self, operands: Arrays) -> Arrays:
        wide = {name: array.astype(np.float64) for name, array in operands.items()}
        with np.errstate(invalid="ignore"):
            return results(batched, self.spec, wide)


@lru_cache(4096)
def drawn_case(name: str) -> DrawnCase | None:
    """Return the case that ``fresh/<seed>/<n>`` names; None where that draw gives no legal layer."""
    stream = Stream(name)
    spec = drawn_spec(drawn_style(stream), stream)
    if spec is None:
        return None
    left = list(DTYPES)
    order = tuple(left.pop(stream.integer(0, len(left) - 1)) for _ in DTYPES)
    return DrawnCase(name, spec, stream.pick(BATCHES), order)


def fuzz_case(spec: Spec, batch: int, *, nonfinite: bool, order: str) -> DrawnCase:
    """Return the case of a layer: its name, and so its operands, follow from its description."""
    digest = hashlib.sha256(spec.to_json().encode()).hexdigest()[:16]
    planted = nonfinite and batch * spec.in_channels > 0
    return DrawnCase(f"fuzz/{digest}/{batch}", spec, batch, nonfinite=planted, order=order)


def is_fresh(case: str) -> bool:
    """Return whether an id is that of a drawn case."""
    return _NAME.fullmatch(case) is not None


def existing(name: str) -> DrawnCase:
    """Return the case of a name.

    Raises
    ------
    LclError
        If there is none.
    """
    case = drawn_case(name) if is_fresh(name) else None
    if case is None:
        raise LclError(Violation("case/fresh", "case", repr(name), "fresh/<seed>/<n>, as a run prints it"))
    return case


@dataclass(frozen=True)
class Fresh:
    """Which fresh cases a run asks.

    Parameters
    ----------
    seed : int
        Where the draws come from.
    count : int
        How many layers each backend is asked.
    more : int
        How many a narrow one is asked, which supports less than one draw in `NARROW`.
    dtypes, ops : sequence of str
        What they are asked in.
    """

    seed: int
    count: int
    more: int
    dtypes: Sequence[str]
    ops: Sequence[str]


def supported_draws(capabilities: Capabilities, fresh: Fresh) -> list[Question]:
    """Return the cells of the first draws that a layer supports, each draw in one dtype."""
    found: list[list[Question]] = []
    for number in range(MOST_DRAWS):
        if len(found) >= (fresh.more if number > NARROW * fresh.count else fresh.count):
            break
        case = drawn_case(f"{PREFIX}{fresh.seed}/{number}")
        if case is not None and (cells := _supported(capabilities, case, fresh)):
            found.append(cells)
    return [cell for cells in found for cell in cells]


def new_seed() -> int:
    """Return a seed that no layer can know beforehand."""
    return secrets.randbelow(SEEDS)


def is_question(question: Question, fresh: Fresh) -> bool:
    """Return whether a cell is one that `supported_draws` may return."""
    name, op, dtype = question
    if not (is_fresh(name) and name.startswith(f"{PREFIX}{fresh.seed}/") and op in fresh.ops and dtype in fresh.dtypes):
        return False
    case = drawn_case(name)
    return case is not None and case.amplitude(dtype) > 0


def _supported(capabilities: Capabilities, case: DrawnCase, fresh: Fresh) -> list[Question]:
    """Return the cells of a case in the first of its dtypes in which a layer supports it."""
    for dtype in case.dtypes:
        if dtype in fresh.dtypes and case.amplitude(dtype):
            cells = [(case.name, op, dtype) for op in fresh.ops if supports(capabilities, case, dtype, op)]
            if cells:
                return cells
    return []


def supports(capabilities: Capabilities, case: DrawnCase, dtype: str, op: str) -> bool:
    """Return whether a layer supports a drawn case; one that raises instead of saying so does not."""
    try:
        return capabilities.refusal(case.spec, dtype, op, case.tags) is None
    except Exception:  # noqa: BLE001 -- the function is a user's, and every golden cell shows what it raises
        return False
