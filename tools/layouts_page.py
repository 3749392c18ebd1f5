"""The page ``docs/layouts.md``, generated from the catalogue of layouts."""

from __future__ import annotations

from collections.abc import Iterable

from lcl_ref.layouts import LAYOUTS, Layout
from lcl_ref.layouts.example import LEGEND
from lcl_ref.layouts.summary import short_bias, short_weight

_HEAD = """\
# Weight layouts

Generated from `lcl_ref.layouts` (`python -m tools.tables`); do not edit.

`lcl.layouts.convert(spec, weight, bias, source=..., target=...)` moves weights between any two of them, bit for bit.
`lcl layouts explain NAME` prints a worked example. A layout is always named and never guessed: several give arrays of
the same shape that hold different numbers, and `lcl.layouts.fitting(spec, shape)` lists which.

A layout says how numbers are stored, not what the layer of its source can do: a padding or stride that the source
refuses can still be stored.

"""

_TAIL = """\

`jax/local/<rhs_spec>` takes every arrangement of `OIW`, `OIHW` and `OIDHW`; the usual ones are listed.

Weights stored once per region (SPEC 14.10) have the map in the name of their layout: `regions/2x3` is a grid of 2 by 3
regions, `regions/[[0,0],[1,0]]` a map. They are `r k* cg co` and `r co`, r being the region;
`regions/2x3/r co cg k* | r co` is another order, that of stacked kernels of torch. Into such a layout go only weights
that are the same throughout each region.

"live" layouts are checked against the framework itself, "loop" layouts against loops written from the documented
formula.

## What each needs to be known for

"""


def page() -> str:
    """Return the page of all layouts."""
    columns = ("layout", "ranks", "weight", "bias", "groups", "checked")
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line(_cells(layout)) for layout in LAYOUTS.values()]
    about = [_paragraph(layout) for layout in LAYOUTS.values()]
    return _HEAD + f"Axes: {_escaped(LEGEND)}.\n\n" + "\n".join(lines) + "\n" + _TAIL + "\n".join(about)


def _cells(layout: Layout) -> list[str]:
    ranks = " ".join(map(str, layout.ranks))
    groups = "any" if layout.groups else "one"
    return [f"`{layout.name}`", ranks, short_weight(layout, "`"), short_bias(layout, "`"), groups, layout.checked]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _paragraph(layout: Layout) -> str:
    """Return one list entry: whose it is, where it is defined, what it loses."""
    version = f", {layout.version}" if layout.version else ""
    parts = [f"{layout.of}. Source: {layout.source}{version}."]
    parts += [f"Loses: {layout.loses}"] * bool(layout.loses) + [layout.note] * bool(layout.note)
    reasons = "; ".join(layout.why.values())
    parts += [f"Limits: {reasons}."] * bool(reasons)
    return f"- **`{layout.name}`**: " + _escaped(" ".join(parts))


def _escaped(text: str) -> str:
    return text.replace("*", r"\*").replace("<", r"\<")
