"""The catalogue as tables: rows for the command line, and the page ``docs/layouts.md``, which is generated from it."""

from __future__ import annotations

from typing import Any

from lcl_ref.layouts.example import LEGEND
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.registry import LAYOUTS

_HEAD = """\
# Weight layouts

Generated from `lcl_ref.layouts` (`python -m lcl_ref.layouts.page > docs/layouts.md`); do not edit.

`lcl.layouts.convert(spec, weight, bias, source=..., target=...)` moves weights between any two of them, bit for bit.
`lcl layouts explain NAME` prints a worked example. A layout is always named and never guessed: several give arrays of
the same shape that hold different numbers, and `lcl.layouts.fitting(spec, shape)` lists which.

A layout says how numbers are stored, not what the layer of its source can do: a padding or stride that the source
refuses can still be stored.

"""

_TAIL = """\

`jax/local/<rhs_spec>` takes every arrangement of `OIW`, `OIHW` and `OIDHW`; the usual ones are listed.
"live" layouts are checked against the framework itself, "loop" layouts against loops written from the documented
formula.

## What each needs to be known for

"""


def as_dict(layout: Layout) -> dict[str, Any]:
    """Return one row of the catalogue as JSON-ready values."""
    return {
        "name": layout.name,
        "of": layout.of,
        "source": layout.source,
        "version": layout.version,
        "ranks": list(layout.ranks),
        "weight": layout.weight,
        "form": layout.form,
        "flipped": layout.flipped,
        "memory": layout.memory,
        "bias": dict(layout.bias),
        "bias_reported": layout.bias_reported,
        "bias_outside": layout.bias_outside,
        "groups": layout.groups,
        "shared": layout.shared,
        "channel_table": layout.table,
        "why": dict(layout.why),
        "loses": layout.loses,
        "note": layout.note,
        "checked": layout.checked,
    }


def markdown() -> str:
    """Return the page of all layouts."""
    columns = ("layout", "ranks", "weight", "bias", "groups", "checked")
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line(_cells(layout)) for layout in LAYOUTS.values()]
    about = [_paragraph(layout) for layout in LAYOUTS.values()]
    return _HEAD + f"Axes: {_escaped(LEGEND)}.\n\n" + "\n".join(lines) + "\n" + _TAIL + "\n".join(about)


def short_weight(layout: Layout, quote: str = "") -> str:
    """Return the weight pattern for a table."""
    form = {"taps": "", "dense": ", dense", "live": ", live taps only"}[layout.form]
    return f"{quote}{layout.weight}{quote}{form}" + ", taps reversed" * layout.flipped


def short_bias(layout: Layout, quote: str = "") -> str:
    """Return the bias patterns for a table."""
    patterns = " or ".join(f"{quote}{text}{quote}" for text in dict.fromkeys(layout.bias.values()))
    return "outside" if layout.bias_outside else patterns


def _cells(layout: Layout) -> list[str]:
    ranks = " ".join(map(str, layout.ranks))
    groups = "any" if layout.groups else "one"
    return [f"`{layout.name}`", ranks, short_weight(layout, "`"), short_bias(layout, "`"), groups, layout.checked]


def _line(cells: Any) -> str:
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


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
