"""`explain`: a layout in words, with a worked example small enough to follow by hand (2x2 positions, 2x2 taps)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lcl_ref.core.axes import axis_names
from lcl_ref.core.spec import Spec
from lcl_ref.layouts import biases, conversion, regions
from lcl_ref.layouts.checks import weight_shape
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.pattern import TAPS, Axes, single_axes
from lcl_ref.layouts.registry import get

_SHOWN = 12
"""Elements of the flattened weight that the example lists."""

LEGEND = (
    "o* positions, k* taps, i* input sites, cg input channels of a group, co output channels = (g p), group and "
    "channel in it; (a b) one axis, the last fastest"
)
"""What the names in patterns mean."""

_FORMS = {
    "taps": "",
    "dense": "a matrix from every input site (i*) to every position; entries that join no window are free, and 0 here",
    "live": "one flat vector of the taps that fall inside the input, in this order of loops (slowest first)",
}


def example_spec(layout: Layout) -> Spec:
    """Return a small layer that `layout` can hold: 2 positions and 2 taps per axis, 2 -> 3 channels where it may."""
    rank = 2 if 2 in layout.ranks else layout.ranks[0]
    stored = single_axes(layout.weight, rank)
    groups = 2 if layout.groups and (rank == 0 or "cg" not in stored) else 1
    per_group = 2 if "cg" in stored else 1
    padded = layout.form == "live"
    positions = (2,) * rank if layout.regions is None else _positions(layout.regions)
    return Spec(
        input_size=tuple(size + (not padded) for size in positions),
        kernel_size=(2,) * rank,
        padding="same_keras_local" if padded else "valid",
        in_channels=groups * per_group,
        out_channels=groups * (3 if "p" in stored else 1),
        groups=groups,
        shared=rank > 0 and not any(name[0] in "or" for name in stored),
        bias="position" if "position" in layout.bias else "channel",
    )


def _positions(given: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape of a map, or twice the counts per axis."""
    return np.shape(given) if np.min(given) == 0 else tuple(2 * count for count in given)


def explain(name: str) -> str:
    """Return a text about layout `name`: who uses it, its axes, what it loses, and a worked example.

    Parameters
    ----------
    name : str
        Name from `LAYOUTS`, or of the family ``jax/local/<rhs_spec>``.

    Returns
    -------
    str
        Lines to print.

    Raises
    ------
    LayoutError
        If the name is unknown.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> print(lcl.layouts.explain("jax/local/HWIO").splitlines()[4])
    weight  oy ox (cg ky kx) co
    """
    layout = get(name)
    spec = example_spec(layout)
    blocks = [_about(layout), _recipe(layout, spec), _elements(layout, spec)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def about_bias(layout: Layout) -> str:
    """Return the bias patterns in words."""
    forms = ", ".join(f"{pattern} (per {kind})" for kind, pattern in layout.bias.items())
    reported = f", in an array of shape {layout.bias_reported}" if layout.bias_reported else ""
    if layout.bias_outside:
        return f"none of its own; kept canonical, to be added to the output: {forms}"
    return forms + reported


def about_weight(layout: Layout) -> str:
    """Return the weight pattern in words."""
    extra = [_FORMS[layout.form]] * (layout.form != "taps")
    extra += ["taps in reverse order"] * layout.flipped + ["column-major in memory"] * (layout.memory == "F")
    return "; ".join([layout.weight, *extra])


def _about(layout: Layout) -> str:
    version = f" ({layout.version})" if layout.version else ""
    facts = {
        "of": layout.of,
        "source": layout.source + version,
        "ranks": ", ".join(map(str, layout.ranks)),
        "weight": about_weight(layout),
        "bias": about_bias(layout),
        "groups": "any" if layout.groups else "one",
        "loses": layout.loses or "nothing",
        "note": layout.note,
    }
    lines = [f"{key:<7} {value}" for key, value in facts.items() if value]
    return "\n".join([layout.name, *lines, f"axes    {LEGEND}"])


def _recipe(layout: Layout, spec: Spec) -> str:
    """Return the conversion from canonical in NumPy, for layouts that are a transpose and a reshape."""
    if layout.form != "taps" or layout.regions is not None:
        return ""
    have, stored = single_axes(TAPS, spec.rank), single_axes(layout.weight, spec.rank)
    order = [have.index(name) for name in stored + [name for name in have if name not in stored]]
    lengths = Axes.of_weight(spec).lengths
    split = tuple(lengths[name] for name in have)
    flip = f"np.flip(w, {tuple(range(spec.rank, 2 * spec.rank))})" if layout.flipped else "w"
    axes = ", ".join(have)
    steps = f"{flip}.reshape({split}).transpose({tuple(order)}).reshape({weight_shape(layout.name, spec)})"
    return f"From the canonical weight w of the example, axes ({axes}):\n    {steps}"


def _elements(layout: Layout, spec: Spec) -> str:
    """List which canonical element stands at each of the first places of the stored weight and bias."""
    canonical = np.arange(1, math.prod(spec.weight_shape) + 1).reshape(spec.weight_shape)
    shape = spec.bias_shape or ()
    bias = np.arange(math.prod(shape)).reshape(shape)
    if layout.regions is not None:
        canonical = regions.alike(layout, spec, canonical)
        bias = regions.alike(layout, spec, bias) if spec.bias == "position" else bias
    weight, moved = conversion.convert(spec, canonical, bias, source="canonical", target=layout.name)
    flat = weight.ravel(order="K")
    filled = np.flatnonzero(flat)
    sizes = f"input {spec.input_size}, kernel {spec.kernel_size}, padding {spec.padding}"
    channels = f"{spec.in_channels} -> {spec.out_channels} channels, {spec.groups} group(s)"
    lines = [
        f"Example: {sizes}, {channels}",
        f"    weight {spec.weight_shape} -> {weight.shape}",
        f"    bias {spec.bias_shape} -> {biases.bias_shape(layout.name, spec)}",
        *(f"    weight, element {place:<2} = {_name(flat[place], spec)}" for place in filled[:_SHOWN]),
    ]
    if filled.size > _SHOWN:
        lines.append(f"    ... {filled.size - _SHOWN} more")
    if filled.size < flat.size:
        lines.append(f"    {flat.size - filled.size} elements that no tap fills are left out")
    order = ", ".join(map(str, [] if moved is None else moved.ravel()))
    lines.append(f"    bias, in memory   = canonical elements {order}")
    return "\n".join(lines)


def _name(number: int, spec: Spec) -> str:
    """Name the canonical element that was numbered from 1."""
    index = np.unravel_index(number - 1, spec.weight_shape)
    parts = zip(axis_names("weight", spec.rank), index, strict=True)
    return f"w[{', '.join(f'{axis}={place}' for axis, place in parts)}]"
