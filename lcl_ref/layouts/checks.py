"""What a layout refuses: layers it cannot hold, and arrays of another shape (SPEC clause 10)."""

from __future__ import annotations

from collections.abc import Sequence

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.layouts import regions
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.pattern import Axes, label, parse
from lcl_ref.layouts.registry import get, names_of_rank

MOST_COUNTED = 1 << 20
"""Positions or taps along an axis, whichever are fewer, up to which live taps are counted."""


def check_holds(layout: Layout, spec: Spec) -> None:
    """Refuse a layer whose weights the layout has no place for."""
    reason = layout.refusal(spec)
    if layout.regions is not None and not reason:
        reason = regions.refusal(layout, spec)
    if reason:
        got = f"a layer of rank {spec.rank} with weight shape {spec.weight_shape}, {spec.groups} groups"
        raise LayoutError(Violation("layout/holds", layout.name, got, f"a layer that it can hold ({reason})"))


def weight_shape(name: str, spec: Spec) -> tuple[int, ...]:
    """Return the shape of the weight of `spec` in layout `name`.

    Parameters
    ----------
    name : str
        Name from `LAYOUTS`, or of the family ``jax/local/<rhs_spec>``.
    spec : Spec
        The layer.

    Returns
    -------
    tuple of int
        Slowest axis first.

    Raises
    ------
    LayoutError
        If the name is unknown or the layout cannot hold the layer.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=2)
    >>> lcl.layouts.weight_shape("canonical", spec)
    (4, 3, 2, 2, 2, 3)
    >>> lcl.layouts.weight_shape("keras2/impl1/channels_last", spec)
    (12, 8, 3)
    """
    layout = get(name)
    check_holds(layout, spec)
    return (spec.connection_count,) if layout.form == "live" else _axes(layout, spec).shape(layout.weight)


def _axes(layout: Layout, spec: Spec) -> Axes:
    return regions.lengths(layout, spec, Axes.of_weight(spec))


def fitting(spec: Spec, weight_shape: Sequence[int]) -> list[str]:
    """Return the names of all layouts in which the weight of `spec` has this shape.

    They are often several, and their numbers stand in different places: which one it is, the array does not say.

    Parameters
    ----------
    spec : Spec
        The layer.
    weight_shape : sequence of int
        Shape of the stored weight.

    Returns
    -------
    list of str
        Names as `get` takes them; of the family ``jax/local/<rhs_spec>`` every member.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=2)
    >>> lcl.layouts.fitting(spec, (4, 3, 2, 2, 2, 3))
    ['canonical']
    """
    return [name for name in names_of_rank(spec.rank) if _fits(get(name), spec, tuple(weight_shape))]


def _fits(layout: Layout, spec: Spec, shape: tuple[int, ...]) -> bool:
    if layout.refusal(spec) or (layout.form == "live" and not _countable(spec)):
        return False
    return weight_shape(layout.name, spec) == shape


def _countable(spec: Spec) -> bool:
    """Return whether the live taps can be counted in a moment: they can wherever the weights fit a computer."""
    return all(min(axis) <= MOST_COUNTED for axis in zip(spec.output_size, spec.kernel_size, strict=True))


def check_weight(layout: Layout, spec: Spec, shape: tuple[int, ...]) -> None:
    """Refuse a weight of another shape, naming the axes at fault and the layouts that it would fit."""
    if layout.form == "live" and not _countable(spec):
        got = f"shape {shape} for output size {spec.output_size}, kernel size {spec.kernel_size}"
        raise LayoutError(Violation("weight/live", "weight", got, f"a layer that a computer can hold in {layout.name}"))
    expected = weight_shape(layout.name, spec)
    if shape == expected:
        return
    fits = fitting(spec, shape)
    todo = f"this is the shape of {', '.join(fits)}; say which it is, the array cannot tell" if fits else ""
    if layout.form == "live":
        per_tap = f"{spec.group_channels}*{spec.out_channels} channels"
        want = f"one axis of {expected[0]} (taps of all positions that fall inside the input, times {per_tap})"
        raise LayoutError(Violation("weight/live", "weight", f"shape {shape}", f"{want} in {layout.name}", "", todo))
    check_shape("weight", shape, layout.weight, _axes(layout, spec), layout.name, todo)


def check_shape(what: str, shape: tuple[int, ...], text: str, axes: Axes, name: str, todo: str = "") -> None:
    """Refuse a shape that is not that of pattern `text`."""
    expected, stored = axes.shape(text), parse(text, axes.rank)
    if len(shape) != len(expected):
        got = f"{len(shape)} axes of shape {shape}"
        want = f"{len(expected)} axes, {', '.join(map(label, stored))}, of shape {expected} in {name}"
        raise LayoutError(Violation(f"{what}/axes", what, got, want, todo=todo))
    problems = [
        Violation(f"{what}/{axis_name}", what, f"{got} elements", f"{axes.arithmetic(axis)} in {name}", axis_name, todo)
        for axis, axis_name, got, size in zip(stored, map(label, stored), shape, expected, strict=True)
        if got != size
    ]
    if problems:
        raise LayoutError(problems)
