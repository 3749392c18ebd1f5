"""The porting ladder: the cases from the smallest concept to the largest, for somebody who writes a port step by step.

Each rung is one concept with the clauses of SPEC.md to read; the climb ends at the first rung that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.judge.outcome import Cell, Outcome


@dataclass(frozen=True)
class Rung:
    """One concept.

    Parameters
    ----------
    name : str
        A few words.
    reading : str
        What to read in SPEC.md, and what usually goes wrong.
    topics : tuple of str
        Topics of the cases (the middle part of their ids) that belong to it.
    ranks : tuple of int
        Ranks it is about.
    """

    name: str
    reading: str
    topics: tuple[str, ...]
    ranks: tuple[int, ...] = (1, 2, 3)


LADDER = (
    Rung("one matrix per block", "clauses 3 and 6: no spatial axes, a matrix and a bias", ("linear",), (0,)),
    Rung("blocks of channels", "clause 4: which input channels an output channel sees", ("groups",), (0,)),
    Rung(
        "one axis", "clauses 1.1 and 3.2: a weight per position, taps not flipped, bias per position", ("plain",), (1,)
    ),
    Rung("one tap, one window", "clause 1.7: kernel 1 and kernel = input are no special cases", ("kernel",), (1,)),
    Rung("stride", "clauses 1.2 and 1.5: the output size rounds down, rests are not read", ("stride",), (1,)),
    Rung("windows that tile", "clause 1.7: stride = kernel", ("tiling",), (1,)),
    Rung("padding", "clauses 2 and 7: which side, which rule, and nothing outside the input", ("padding",), (1,)),
    Rung("dilation", "clause 1.6: taps apart", ("dilation",), (1,)),
    Rung("two axes", "clauses 1.4 and 3.2: order of axes in every tensor, position order", ("plain",), (2,)),
    Rung("three axes", "clause 1.4", ("plain",), (3,)),
    Rung("limits of two and three axes", "clause 1.7", ("kernel", "tiling"), (2, 3)),
    Rung("settings per axis", "clauses 1.2, 1.4 to 1.6", ("stride", "dilation"), (2, 3)),
    Rung("padding per axis", "clauses 2 and 7", ("padding",), (2, 3)),
    Rung("as most people write it", "clauses 1 to 3: square kernels, equal sizes and channels", ("families",)),
    Rung("groups", "clause 4.2: groups in every rank", ("groups",)),
    Rung("shared axes", "clause 5: one weight along an axis, and its gradient summed", ("shared",)),
    Rung("connection table", "clause 4.3: any input channels for any output channel", ("table",), (0, 1, 2, 3)),
    Rung("batch and channel counts", "clause 3.4: no samples, one, as many as channels", ("batch", "channels")),
    Rung("inf and NaN", "clause 7.3: they reach the outputs whose window holds them", ("nonfinite",), (0, 1, 2, 3)),
    Rung("everything together", "all settings at once", ("combined",)),
    Rung("three settings at once", "clause 11.6: every three that can stand together", ("triples",), (0, 1, 2, 3)),
    Rung("sizes", "clause 11.8: channels, axes, windows and batches that kernels break at", ("sizes",), (0, 1, 2, 3)),
    Rung("what broke elsewhere", "clauses 1 to 7: layers in which bugs of other libraries show", ("history",)),
    Rung("rounding", "clauses 8 and 12: reals, within the proved limit", ("rounded",), (0, 1, 2, 3)),
    Rung("zeros, large and tiny numbers", "clauses 8.9 and 11.10: operands of every kind", ("values",), (0, 1, 2, 3)),
    Rung("complex numbers", "clause 14.9: an extension, the same formula", ("complex",), (0, 1, 2, 3)),
)


def rung_of(case: Case) -> Rung:
    """Return the rung a case stands on: that of its topic, or that of dilation where it is dilated and this is higher.

    Raises
    ------
    LclError
        If no rung takes it.
    """
    fitting = [_place(case.topic, case.spec.rank)]
    if any(step > 1 for step in case.spec.dilation):
        fitting.append(_place("dilation", case.spec.rank))
    if None not in fitting:
        return LADDER[max(place for place in fitting if place is not None)]
    raise LclError(Violation("ladder/rung", "case", case.id, "a topic and rank that a rung of the ladder takes"))


def _place(topic: str, rank: int) -> int | None:
    """Return the place of the first rung that takes a topic at a rank."""
    return next((place for place, rung in enumerate(LADDER) if topic in rung.topics and rank in rung.ranks), None)


def climb(cells: Iterable[Cell], cases: dict[str, Case]) -> dict[Rung, list[Cell]]:
    """Return the cells of one backend by rung, lowest first; empty rungs are left out."""
    rungs: dict[Rung, list[Cell]] = {rung: [] for rung in LADDER}
    for cell in cells:
        rungs[rung_of(cases[cell.case])].append(cell)
    return {rung: members for rung, members in rungs.items() if members}


def broken(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return the outcomes that stop a climb."""
    return [outcome for outcome in outcomes if outcome.state in ("fail", "error")]
