"""Building edits of a plan, and families of deviations that differ in the axis concerned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from lcl_ref.core.axes import SPATIAL
from lcl_ref.suite.diagnosis.deviations.deviation import Deviation, Edit
from lcl_ref.suite.diagnosis.deviations.hooks import Array, Linear, Move
from lcl_ref.suite.diagnosis.deviations.layer_plan import Axis, Plan

Map = Callable[[Array], Array]


def move(field: str, rearrange: Map) -> Edit:
    """Return the edit that rearranges the array of `field`, a field of hooks of the plan such as ``on_x``."""
    return lambda plan: plan.adding(field, Move(rearrange))


def planned_move(field: str, rearrange: Callable[[Plan, Array], Array]) -> Edit:
    """Return the same for a rearrangement that depends on the plan."""
    return lambda plan: plan.adding(field, Move(partial(rearrange, plan)))


def linear(field: str, apply: Map, adjoint: Map) -> Edit:
    """Return the edit that maps the array of `field` by a linear map with this adjoint."""
    return lambda plan: plan.adding(field, Linear(apply, adjoint))


def setting(**fields: Any) -> Edit:
    """Return the edit that sets fields of the plan."""
    return lambda plan: replace(plan, **fields)


def each_axis(change: Callable[[Axis], Axis], only: str = "") -> Edit:
    """Return the edit that changes every axis, or the one named `only`."""
    return lambda plan: replace(
        plan, axes=tuple(change(axis) if only in ("", axis.name) else axis for axis in plan.axes)
    )


def with_field(axis: Axis, field: str, value: int) -> Axis:
    """Return the axis with one of its integer fields changed."""
    changes: dict[str, Any] = {field: value}
    return replace(axis, **changes)


def from_axes(field: str, pick: Callable[[list[int]], list[int]]) -> Edit:
    """Return the edit that gives the axes the values of `field` that `pick` makes of those they have."""

    def edit(plan: Plan) -> Plan:
        values = pick([getattr(axis, field) for axis in plan.axes])
        return replace(
            plan, axes=tuple(with_field(axis, field, value) for axis, value in zip(plan.axes, values, strict=True))
        )

    return edit


def kernel_axes(plan: Plan, only: str = "") -> tuple[int, ...]:
    """Return the axes of the weight that count taps, or that of one spatial axis."""
    return tuple(plan.rank + number for number in position_axes(plan, only))


def position_axes(plan: Plan, only: str = "") -> tuple[int, ...]:
    """Return the axes of the weight that count positions, or that of one spatial axis."""
    return tuple(number for number, axis in enumerate(plan.axes) if only in ("", axis.name))


def per_axis(build: Callable[[str], Deviation]) -> tuple[Deviation, ...]:
    """Return the deviation on all axes at once, and on each axis alone: ``build("")``, ``build("x")``, ..."""
    return tuple(build(name) for name in ("", *reversed(SPATIAL)))


def named(identity: str, only: str) -> str:
    """Return the id of one member of a family: ``taps/flipped[y]``."""
    return f"{identity}[{only}]" if only else identity


def along(only: str) -> str:
    """Return the words for the axes concerned."""
    return f"along axis {only}" if only else "along every axis"
