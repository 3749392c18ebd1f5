"""Answers of whole layers compared with the reference, a chunk of positions at a time.

The largest result of a locally connected layer is the gradient of its weight, of which every position computes its own
part. So golden results and limits, float64 all of them, are made for a few rows of positions, compared and dropped;
what chunks share, the gradient of the input and of a bias per channel, is added up over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lcl_ref.core import batched
from lcl_ref.core.axes import spatial_names
from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.files.contents import Array
from lcl_ref.suite.adapter import OPERATIONS
from lcl_ref.suite.formats import FloatFormat
from lcl_ref.suite.judge.bounds import Magnitude
from lcl_ref.suite.judge.compare import Expected, Malformed, Mismatch, axes_of, check, check_form
from lcl_ref.suite.judge.tasks import Task

CHUNK_BYTES = 4 << 20
"""Aim for the weights of one chunk in float64; some ten arrays of that size are alive at a time."""


@dataclass
class Question:
    """One operation of one layer: its answers, and what came out so far.

    Parameters
    ----------
    op : str
        ``forward`` or ``vjp``.
    answers : mapping of str to array
        Whole results by name.
    accumulation : FloatFormat
        The format the layer's sums are kept in.

    Attributes
    ----------
    error_ratio : float
        Largest error divided by its limit, of the parts that hold.
    warnings : dict of str to str
        Result -> the first warning about it.
    worst : tuple of float and str, or None
        The largest error, as a share of its limit, that is beyond it, and its message.
    """

    op: str
    answers: Mapping[str, Array]
    accumulation: FloatFormat
    error_ratio: float = 0.0
    warnings: dict[str, str] = field(default_factory=dict)
    worst: tuple[float, str] | None = None

    def hold(self, expected: Expected, answer: Array, where: str = "") -> None:
        """Compare one part of an answer and keep the verdict; `where` says which part."""
        try:
            agreement = check(expected, answer)
        except Mismatch as mismatch:
            self.refuse(math.inf if mismatch.error_ratio is None else mismatch.error_ratio, f"{mismatch}{where}")
            return
        self.error_ratio = max(self.error_ratio, agreement.error_ratio)
        if agreement.warning:
            self.warnings.setdefault(expected.result, agreement.warning + where)

    def refuse(self, error_ratio: float, message: str) -> None:
        """Keep the worst of what is wrong."""
        if self.worst is None or error_ratio > self.worst[0]:
            self.worst = error_ratio, message


def hold(spec: Spec, dtype: str, operands: Mapping[str, Array], questions: Sequence[Question]) -> None:
    """Hold all answers against what the reference computes from `operands`; `questions` keep the verdicts.

    Parameters
    ----------
    spec : Spec
        The layer.
    dtype : str
        Of operands and answers.
    operands : mapping of str to array
        x ``(n, i*, ci)``, weight, dy, and bias where there is one.
    questions : sequence of Question
        Of layers asked with these operands.
    """
    fit = [question for question in questions if _has_form(question, spec, dtype, operands)]
    joined = _Joined(spec, operands)
    for chunk in chunks(spec):
        task = _task(chunk, dtype, operands)
        joined.add(chunk, task)
        for question in fit:
            for expected in task.expected(question.op, question.accumulation):
                if expected.result not in joined.results:
                    answer = chunk.part(expected.result, question.answers[expected.result])
                    question.hold(replace(expected, origin=chunk.origin), answer, chunk.name)
    for question in fit:
        for result in joined.results:
            if result in OPERATIONS[question.op].results:
                question.hold(joined.expected(result, dtype, question.accumulation), question.answers[result])


def _has_form(question: Question, spec: Spec, dtype: str, operands: Mapping[str, Array]) -> bool:
    """Refuse answers of another shape or dtype, before they are cut into parts."""
    like = {"y": operands["dy"], "dx": operands["x"], "dw": operands["weight"], "db": operands.get("bias")}
    for result in OPERATIONS[question.op].results:
        golden = like[result]
        if golden is None:
            continue
        axes = axes_of(result, spec.rank, spec.bias)
        form = Expected(result, golden, dtype, axes, False, question.accumulation, _no_limit)
        try:
            check_form(form, question.answers[result])
        except Malformed as malformed:
            question.refuse(math.inf, str(malformed))
            return False
    return True


def _no_limit() -> Magnitude:
    return Magnitude(np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Chunk:
    """Some rows of positions as a layer of its own.

    Parameters
    ----------
    spec : Spec
        The layer of these positions, and of the rows of the input that they see.
    rows : slice, optional
        Which positions along the first axis; without it all.
    seen : slice, optional
        Which rows of the input.
    """

    spec: Spec
    rows: slice | None = None
    seen: slice | None = None

    @property
    def origin(self) -> Mapping[str, int]:
        """Where its positions begin, by axis name."""
        return {} if self.rows is None else {f"o{spatial_names(self.spec.rank)[0]}": self.rows.start}

    @property
    def name(self) -> str:
        """The chunk in words, to follow a message; empty for the whole layer."""
        return "".join(f" (of {axis} {at} to {self.rows.stop - 1})" for axis, at in self.origin.items() if self.rows)

    def part(self, name: str, array: Array) -> Array:
        """Return this chunk's part of an operand or result called `name`."""
        if self.rows is None or (name in ("bias", "db") and self.spec.bias == "channel"):
            return array
        if name in ("x", "dx"):
            return array[:, self.seen]
        return array[:, self.rows] if name in ("y", "dy") else array[self.rows]


def chunks(spec: Spec) -> list[Chunk]:
    """Cut a layer along its first position axis; one chunk where that axis is shared or there is none."""
    if spec.rank == 0 or spec.shared[0]:
        return [Chunk(spec)]
    row = 8 * math.prod(spec.weight_shape[1:])
    step, count = max(1, CHUNK_BYTES // row), spec.output_size[0]
    made = [_cut(spec, slice(start, min(start + step, count))) for start in range(0, count, step)]
    whole = len(made) == 1 or any(chunk.seen is not None and chunk.seen.start >= chunk.seen.stop for chunk in made)
    return [Chunk(spec)] if whole else made  # rows of positions that see nothing but padding are no layer


def _cut(spec: Spec, rows: slice) -> Chunk:
    """Return the chunk of these rows, its padding what is left of the layer's; its spec only where it sees anything."""
    (lo, _), size, step = spec.padding[0], spec.input_size[0], spec.stride[0]
    first = rows.start * step - lo
    end = (rows.stop - 1) * step - lo + window_extent(spec.kernel_size[0], spec.dilation[0])
    seen = slice(max(first, 0), min(end, size))
    if seen.start >= seen.stop:
        return Chunk(spec, rows, seen)
    own = {
        "input_size": (seen.stop - seen.start, *spec.input_size[1:]),
        "padding": ((max(-first, 0), max(end - size, 0)), *spec.padding[1:]),
    }
    return Chunk(Spec.from_dict(spec.to_dict() | own), rows, seen)


def _task(chunk: Chunk, dtype: str, operands: Mapping[str, Array]) -> Task:
    """Return the chunk's operands, and what the reference computes from them in float64."""
    own = {name: chunk.part(name, array) for name, array in operands.items()}
    wide = {name: array.astype(np.float64) for name, array in own.items()}
    dx, dw, db = batched.vjp(chunk.spec, wide["x"], wide["weight"], wide["dy"])
    golden = {"y": batched.forward(chunk.spec, wide["x"], wide["weight"], wide.get("bias")), "dx": dx, "dw": dw}
    return Task(chunk.spec, dtype, False, (), own, golden | ({} if db is None else {"db": db}))


class _Joined:
    """Golden results to which more than one chunk adds, with S and K of their elements."""

    def __init__(self, spec: Spec, operands: Mapping[str, Array]) -> None:
        shapes = {"dx": operands["x"].shape} | ({"db": operands["bias"].shape} if spec.bias == "channel" else {})
        self._spec, self._slabs, self.results = spec, 0, tuple(shapes)
        self._golden, self._total, self._terms = (
            {result: np.zeros(shape) for result, shape in shapes.items()} for _ in range(3)
        )

    def add(self, chunk: Chunk, task: Task) -> None:
        """Add what one chunk computes."""
        self._slabs += 1
        for result in self.results:
            size = task.magnitude(result)
            parts = ((self._golden, task.golden[result]), (self._total, size.total), (self._terms, size.terms))
            for whole, part in parts:
                chunk.part(result, whole[result])[...] += part

    def expected(self, result: str, dtype: str, accumulation: FloatFormat) -> Expected:
        """Return the whole golden result; S is widened by the rounding of its own sum."""
        size = Magnitude(self._total[result] * (1 + self._slabs * 2.0**-52), self._terms[result])
        axes = axes_of(result, self._spec.rank, self._spec.bias)
        return Expected(result, self._golden[result], dtype, axes, False, accumulation, lambda: size)
