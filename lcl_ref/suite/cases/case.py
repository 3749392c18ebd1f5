"""What a case is, and what a refusal is; the files that hold them are read by `lcl_ref.suite.cases.loader`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lcl_ref.core.spec import Spec

Values = Literal["exact", "rounded", "nonfinite", "complex"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer and operands that a right implementation must get right.

    Parameters
    ----------
    id : str
        ``<rank>d/<topic>/<name>``; never renumbered, never reused.
    spec : Spec
        The layer.
    batch : int
        Samples.
    why : str
        The mistake this case catches, in one sentence.
    clauses : tuple of str
        Clauses of SPEC.md it tests.
    tags : tuple of str
        ``tiling``, ``empty-batch``, ``nonfinite`` and ``subnormal`` where the case is so, and ``degenerate: <reason>``
        where two axes of one tensor have equal length on purpose.
    written : mapping
        Arguments of `Spec` as the file has them, names of padding and single values for all axes included.
    values : {"exact", "rounded", "nonfinite", "complex"}
        Small integers compared bit for bit, reals compared by the proved limit, integers with inf and NaN planted, or
        complex numbers whose parts are small integers.
    one_in : int
        Of the weights of a case of sizes, one in so many is not zero.
    operands : str
        Kind of the operands of a case of values (SPEC 11.10); empty for the plain ones.
    bits : int
        Of large whole numbers: every sum of magnitudes is at most ``2**bits``.
    moves : tuple of (str, int, int)
        Of the worst operands: operand, place in it, and the draw that the number in this place is taken from.
    """

    id: str
    spec: Spec
    batch: int
    why: str
    clauses: tuple[str, ...]
    tags: tuple[str, ...] = ()
    values: Values = "exact"
    one_in: int = 1
    operands: str = ""
    bits: int = 0
    moves: tuple[tuple[str, int, int], ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def topic(self) -> str:
        """The middle part of the id."""
        return self.id.split("/")[1]

    @property
    def generated(self) -> bool:
        """Whether the golden data holds no arrays of it, only how they are made and what they must be (SPEC 11.8)."""
        return self.topic == "sizes"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Arguments of `Spec`, or arrays for a good layer, that must be refused.

    Parameters
    ----------
    id : str
        ``refused/<topic>/<name>``.
    rule : str
        `Violation.rule` that the error must carry.
    why : str
        What goes wrong where this is let through.
    clauses : tuple of str
        Clauses of SPEC.md it tests.
    arguments : mapping
        Constructor arguments of `Spec`: those of `LAYER`, changed.
    arrays : mapping of str to tuple of int, optional
        Where the layer itself is good: shapes of the arrays given to `forward` or, with ``dy``, to `vjp`, which are
        those of `ARRAYS`, changed; None for no array.
    """

    id: str
    rule: str
    why: str
    clauses: tuple[str, ...]
    arguments: Mapping[str, Any]
    arrays: Mapping[str, tuple[int, ...] | None] | None = None


LAYER: dict[str, Any] = {"input_size": (8, 6), "in_channels": 4, "out_channels": 10, "kernel_size": (3, 2)}
"""A good layer: 6 by 5 positions."""

ARRAYS: dict[str, tuple[int, ...]] = {"x": (2, 8, 6, 4), "weight": (6, 5, 3, 2, 4, 10), "bias": (6, 5, 10)}
"""Shapes that fit `LAYER`."""
