"""The bias between layouts: its axes move, and its kind changes (per channel, per position) where that is exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.layouts import regions
from lcl_ref.layouts.checks import check_holds, check_shape
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.pattern import Array, Axes, single_axes
from lcl_ref.layouts.registry import get

_CANONICAL = {"position": "o* co", "channel": "co"}
_SINGLE = {"position": "o* g p", "channel": "g p"}


def bias_shape(name: str, spec: Spec) -> tuple[int, ...] | None:
    """Return the shape of the bias of `spec` in layout `name`, or None without one.

    Parameters
    ----------
    name : str
        Name from `LAYOUTS`, or of the family ``jax/local/<rhs_spec>``.
    spec : Spec
        The layer.

    Returns
    -------
    tuple of int or None
        Slowest axis first.

    Raises
    ------
    LayoutError
        If the name is unknown or the layout cannot hold the layer.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=2)
    >>> lcl.layouts.bias_shape("canonical", spec)
    (4, 3, 3)
    >>> lcl.layouts.bias_shape("keras2/impl1/channels_first", spec)
    (4, 3, 3)
    """
    layout = get(name)
    check_holds(layout, spec)
    return None if spec.bias == "none" else _axes(layout, spec).shape(_reported(layout, spec))


def convert(spec: Spec, bias: ArrayLike | None, here: Layout, there: Layout) -> Array | None:
    """Move a bias between layouts; `LayoutError` where its shape differs or `there` cannot store it without loss."""
    if (bias is None) != (spec.bias == "none"):
        got = "None" if bias is None else f"an array of shape {np.shape(bias)}"
        expected = "an array" if bias is None else "None"
        raise LayoutError(Violation("bias/presence", "bias", got, f"{expected} (spec.bias is {spec.bias!r})"))
    if bias is None:
        return None
    array, axes = np.asarray(bias), _axes(there, spec)
    check(here, spec, array.shape)
    kind, wanted = _stored_kind(here, spec), _stored_kind(there, spec)
    canonical = _as_kind(spec, _canonical(here, spec, array, kind), kind, spec.bias, here)
    stored = _stored(there, spec, _as_kind(spec, canonical, spec.bias, wanted, there), wanted)
    return stored.reshape(axes.shape(_reported(there, spec)))


def _canonical(layout: Layout, spec: Spec, array: Array, kind: str) -> Array:
    axes, text = _axes(layout, spec), layout.bias[kind]
    if "r" in single_axes(text, spec.rank):
        return regions.spread(layout, spec, axes.unpack(array, text, "r g p")).reshape(spec.bias_shape or ())
    return axes.pack(axes.unpack(array, text, _SINGLE[kind]), _SINGLE[kind], _CANONICAL[kind])


def _stored(layout: Layout, spec: Spec, canonical: Array, kind: str) -> Array:
    axes, text = _axes(layout, spec), layout.bias[kind]
    if "r" in single_axes(text, spec.rank):
        held = regions.collapsed(layout, spec, canonical, "bias")
        return axes.pack(axes.unpack(held, "r co", "r g p"), "r g p", text)
    return axes.pack(axes.unpack(canonical, _CANONICAL[kind], _SINGLE[kind]), _SINGLE[kind], text)


def _axes(layout: Layout, spec: Spec) -> Axes:
    return regions.lengths(layout, spec, Axes.of_bias(spec))


def check(layout: Layout, spec: Spec, shape: tuple[int, ...]) -> None:
    """Refuse a bias of another shape; `LayoutError` names the axes at fault."""
    check_shape("bias", shape, _reported(layout, spec), _axes(layout, spec), layout.name)


def _stored_kind(layout: Layout, spec: Spec) -> str:
    """Return which kind of bias the layout stores for this layer."""
    return spec.bias if spec.bias in layout.bias else next(iter(layout.bias))


def _reported(layout: Layout, spec: Spec) -> str:
    """Return the pattern of the shape that the stored bias carries."""
    return layout.bias_reported or layout.bias[_stored_kind(layout, spec)]


def _as_kind(spec: Spec, bias: Array, kind: str, wanted: str, layout: Layout) -> Array:
    """Spread a canonical bias over positions, or collapse it where all positions agree bit for bit."""
    if kind == wanted:
        return bias
    if wanted == "position":
        return np.broadcast_to(bias, (*spec.output_size, spec.out_channels))
    rows = np.ascontiguousarray(bias.reshape(-1, spec.out_channels))
    for row in range(1, len(rows)):
        if rows[row].tobytes() != rows[0].tobytes():
            other = tuple(map(int, np.unravel_index(row, spec.output_size)))
            got = f"a bias that differs between positions {(0,) * spec.rank} and {other}"
            expected = f"one value per channel ({layout.name} with spec.bias={spec.bias!r})"
            todo = "one value per position needs bias='position' and a layout that stores it"
            raise LayoutError(Violation("bias/shared", "bias", got, expected, todo=todo))
    first: Array = rows[0]
    return first
