"""What a deviation is, and what a layer with some deviations computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS, RESULTS, Result
from lcl_ref.suite.diagnosis.deviations import compute
from lcl_ref.suite.diagnosis.deviations.hooks import Hook, Move
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan, plan_of

Array = NDArray[Any]
Edit = Callable[[Plan], Plan]
Kind = Literal["layer", "derivative", "precision", "nonfinite", "behaviour"]

LAYER = RESULTS
"""A deviation of the layer itself shows in its derivatives too, as automatic differentiation would give them."""


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """One way to be wrong.

    Parameters
    ----------
    id : str
        ``topic/name``, with the axis in brackets where only one is concerned: ``taps/flipped[y]``.
    sentence : str
        What such a layer does.
    clause : str
        Clause of SPEC.md it breaks.
    fix : str
        What to change.
    needs : str
        What a layer or its operands must have for the deviation to make a difference.
    known_in : str
        Implementations known to do it, or empty.
    kind : str
        ``layer``, ``derivative`` (the layer is right), ``precision``, ``nonfinite``, or ``behaviour`` (no function of
        the operands).
    edit : callable, optional
        The deviation as an edit of the layer's plan; None for behaviours.
    parts : tuple of str
        Results that are computed from the edited plan; the others stay right.
    """

    id: str
    sentence: str
    clause: str
    fix: str
    needs: str
    known_in: str = ""
    kind: Kind = "layer"
    edit: Edit | None = None
    parts: tuple[Result, ...] = LAYER

    @property
    def ops(self) -> tuple[str, ...]:
        """Operations it can show in."""
        return tuple(op for op, operation in OPERATIONS.items() if set(operation.results) & set(self.parts))


def edited(spec: Spec, deviations: Iterable[Deviation], part: Result) -> Plan:
    """Return the plan from which a layer with these deviations, in this order, computes `part`."""
    plan = plan_of(spec)
    for deviation in deviations:
        if deviation.edit is not None and part in deviation.parts:
            plan = deviation.edit(plan)
    return plan


@cache
def changed_fields(spec: Spec, batch: int, deviation: Deviation) -> frozenset[str]:
    """Return the fields of the plan a deviation edits; where there are none, it is the same layer by construction.

    A rearrangement of an array this layer does not have, or that leaves every element where it is, is no edit.
    """
    if deviation.edit is None:
        return frozenset()
    before, after = plan_of(spec), deviation.edit(plan_of(spec))
    names = [field.name for field in fields(Plan) if getattr(before, field.name) != getattr(after, field.name)]
    shapes = {
        "on_x": spec.x_shape(batch),
        "on_weight": spec.weight_shape,
        "on_bias": spec.bias_shape,
        "on_sums": spec.y_shape(batch),
        "on_y": spec.y_shape(batch),
    }
    return frozenset(name for name in names if name not in shapes or not _all_stay(getattr(after, name), shapes[name]))


def _all_stay(hooks: tuple[Hook, ...], shape: tuple[int, ...] | None) -> bool:
    """Return whether rearrangements leave every element of an array of this shape in its place."""
    if shape is None:
        return True
    numbers = np.arange(1, math.prod(shape) + 1).reshape(shape)
    return all(isinstance(hook, Move) and np.array_equal(hook.apply(numbers), numbers) for hook in hooks)


def touches(spec: Spec, batch: int, deviation: Deviation, op: str) -> bool:
    """Return whether an operation of this layer is computed from an edited plan."""
    return not set(OPERATIONS[op].results).isdisjoint(deviation.parts) and bool(changed_fields(spec, batch, deviation))


def result(spec: Spec, operands: Mapping[str, Array], deviations: Iterable[Deviation], part: Result) -> Array:
    """Return one result of a layer with these deviations, in float64.

    Parameters
    ----------
    operands : mapping of str to array
        ``x (n, i*, ci)``, ``weight (o*, k*, cg, co)``, ``dy (n, o*, co)``, and where there is one ``bias (o*, co)`` or
        ``(co,)``.

    Returns
    -------
    array
        ``y``, ``dx``, ``dw`` or ``db``; its shape may differ from the right one.

    Raises
    ------
    Refused
        If such a layer could not run on these operands.
    """
    plan = edited(spec, deviations, part)
    if part == "y":
        return compute.forward(plan, operands["x"], operands["weight"], operands.get("bias"))
    if part == "dx":
        return compute.input_gradient(plan, operands["weight"], operands["dy"])
    if part == "dw":
        return compute.weight_gradient(plan, operands["x"], operands["dy"], operands["weight"])
    return compute.bias_gradient(plan, operands["dy"], operands["bias"])


def results(
    spec: Spec, operands: Mapping[str, Array], deviations: Iterable[Deviation], op: str = "forward"
) -> dict[str, Array]:
    """Return the results of an operation of a layer with these deviations by name; arguments and errors as `result`."""
    parts = [part for part in OPERATIONS[op].results if part != "db" or spec.bias_shape is not None]
    return dict(each_result(spec, operands, deviations, parts))


def each_result(
    spec: Spec, operands: Mapping[str, Array], deviations: Iterable[Deviation], parts: Iterable[Result]
) -> Iterator[tuple[Result, Array]]:
    """Yield these results by name, each computed when it is asked for; arguments and errors as `result`."""
    chosen = tuple(deviations)
    wide = {name: np.asarray(operand, np.float64) for name, operand in operands.items()}
    for part in parts:
        with np.errstate(invalid="ignore", over="ignore"):
            array = result(spec, wide, chosen, part)
        yield part, array
