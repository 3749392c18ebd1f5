"""The table of initial weights in ``docs/initialisers.md``, generated from the schemes (SPEC clause 14.7)."""

from __future__ import annotations

import math
from itertools import groupby

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError
from lcl_ref.initialisers.schemes import FANS, ROWS, Scheme

EXAMPLE = Spec(input_size=(10, 9), in_channels=8, out_channels=16, kernel_size=3, stride=1)
"""The layer whose initial weights the table compares."""


def table() -> str:
    """Return one line per implementation and distribution: names, fan rule, spread, and its size on `EXAMPLE`."""
    lines = [
        "| layout | initialisers | fan rule | spread | on the example | source |",
        "|---|---|---|---|---|---|",
    ]
    for (layout, fans, source), group in groupby(ROWS, key=lambda row: (row.layout, row.fans, row.source)):
        schemes = list(group)
        spread = _spread(schemes[0]) if len(schemes) == 1 else "each as named below"
        names = ", ".join(f"`{_initialiser(scheme)}`" for scheme in schemes)
        lines.append(f"| `{layout}` | {names} | {fans} | {spread} | {_on_example(schemes[0])} | {source} |")
    return "\n".join((*lines, "", *_named(), "", *_rules()))


def _initialiser(scheme: Scheme) -> str:
    return scheme.name.rpartition("/")[2]


def _named() -> list[str]:
    """Return the spread of the initialisers that several implementations have, one line each."""
    shared = [scheme for scheme in ROWS if scheme.layout == "canonical"]
    return ["| initialiser | spread |", "|---|---|"] + [
        f"| `{_initialiser(scheme)}` | {_spread(scheme)} |" for scheme in shared
    ]


def _rules() -> list[str]:
    """Return the fan rules in their own words, one line each."""
    return ["| fan rule | how fans are read |", "|---|---|"] + [
        f"| {name} | {(rule.__doc__ or '').splitlines()[0].replace('``', '`')} |" for name, rule in FANS.items()
    ]


def _spread(scheme: Scheme) -> str:
    """Return the limit of a uniform distribution, or the deviation of a normal one, as a formula."""
    symbol = "a" if scheme.distribution == "uniform" else "sd"
    count = {"in": "fan in", "average": "mean fan", "none": "1"}[scheme.mode]
    rest = "".join(
        text
        for text, holds in (
            (", bias as well", scheme.bias == "as weight"),
            (", first position only, others 0", scheme.first_position_only),
        )
        if holds
    )
    return f"{scheme.distribution}, {symbol} = sqrt({scheme.factor:g} / {count}){rest}"


def _on_example(scheme: Scheme) -> str:
    """Return the standard deviation on `EXAMPLE` as a share of Glorot's, per patch."""
    per_patch = math.prod(EXAMPLE.kernel_size) * (EXAMPLE.in_channels + EXAMPLE.out_channels) / 2
    try:
        return f"{scheme.standard_deviation(EXAMPLE) * math.sqrt(per_patch):.3f}"
    except LayoutError:
        return "has no 2-D layer"
