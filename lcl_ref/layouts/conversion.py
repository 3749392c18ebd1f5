"""Between layouts: all weights meet as one view with single axes ``(o*, k*, cg, g, p)``, taps in correlation order."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lcl_ref.core.spec import Spec
from lcl_ref.layouts import biases, forms, regions
from lcl_ref.layouts.checks import check_holds, check_weight
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.pattern import TAPS, Array, Axes
from lcl_ref.layouts.registry import get

_OF_REGIONS = TAPS.replace("o*", "r")
_THERE = {"dense": forms.to_dense, "live": forms.to_live}
_BACK = {"dense": forms.from_dense, "live": forms.from_live}


def convert(
    spec: Spec, weight: ArrayLike, bias: ArrayLike | None, *, source: str, target: str
) -> tuple[Array, Array | None]:
    """Move weight and bias from one layout to another.

    Parameters
    ----------
    spec : Spec
        The layer; ``spec.bias`` says what the canonical bias is.
    weight : array_like
        In layout `source`; any dtype.
    bias : array_like or None
        In layout `source`; None exactly where ``spec.bias == "none"``.
    source, target : str
        Names from `LAYOUTS`. A layout is never guessed.

    Returns
    -------
    tuple of array
        Weight and bias (or None) in layout `target`, in memory of their own; bits and dtype are kept.

    Raises
    ------
    LayoutError
        If a name is unknown, a layout cannot hold the layer, a shape differs, or a bias cannot be stored exactly.

    Notes
    -----
    SPEC clause 3. What a layout loses is its `Layout.loses`.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=4, in_channels=2, out_channels=3, kernel_size=2, bias="channel")
    >>> weight, bias = np.zeros(spec.weight_shape), np.zeros(spec.bias_shape)
    >>> moved, bias = lcl.layouts.convert(
    ...     spec, weight, bias, source="canonical", target="keras2/impl1/channels_last"
    ... )
    >>> moved.shape, bias.shape
    ((3, 4, 3), (3, 3))
    """
    here, there = get(source), get(target)
    check_holds(here, spec)
    check_holds(there, spec)
    array = np.asarray(weight)
    check_weight(here, spec, array.shape)
    taps = _to_taps(here, spec, array)
    copy = True if np.may_share_memory(taps, array) else None
    return _from_taps(there, spec, taps, copy), biases.convert(spec, bias, here, there)


def _to_taps(layout: Layout, spec: Spec, array: Array) -> Array:
    """Return ``(o*, k*, cg, g, p)``, a view where the layout is regular."""
    axes = Axes.of_weight(spec)
    if layout.form != "taps":
        return _BACK[layout.form](spec, array, layout.weight)
    if layout.regions is not None:
        stored = regions.lengths(layout, spec, axes).unpack(array, layout.weight, _OF_REGIONS)
        return regions.spread(layout, spec, stored)
    taps = axes.unpack(array, layout.weight, TAPS)
    return _reversed_taps(taps, spec) if layout.flipped else taps


def _from_taps(layout: Layout, spec: Spec, taps: Array, copy: bool | None = True) -> Array:
    """Return the weight in `layout`: the inverse of `_to_taps`; `copy` as of `Axes.pack`."""
    axes = Axes.of_weight(spec)
    if layout.form != "taps":
        return _THERE[layout.form](spec, taps, layout.weight)
    if layout.regions is not None:
        stored = regions.collapsed(layout, spec, taps, "weight")
        return regions.lengths(layout, spec, axes).pack(stored, _OF_REGIONS, layout.weight)
    ordered = _reversed_taps(taps, spec) if layout.flipped else taps
    packed = axes.pack(ordered, TAPS, layout.weight, copy)
    return np.asfortranarray(packed) if layout.memory == "F" else packed


def _reversed_taps(taps: Array, spec: Spec) -> Array:
    return np.flip(taps, tuple(range(spec.rank, 2 * spec.rank)))
