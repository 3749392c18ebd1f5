"""A layout in a row: as JSON-ready values, and its patterns short enough for a table."""

from __future__ import annotations

from typing import Any

from lcl_ref.layouts.layout import Layout


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


def short_weight(layout: Layout, quote: str = "") -> str:
    """Return the weight pattern for a table."""
    form = {"taps": "", "dense": ", dense", "live": ", live taps only"}[layout.form]
    return f"{quote}{layout.weight}{quote}{form}" + ", taps reversed" * layout.flipped


def short_bias(layout: Layout, quote: str = "") -> str:
    """Return the bias patterns for a table."""
    patterns = " or ".join(f"{quote}{text}{quote}" for text in dict.fromkeys(layout.bias.values()))
    return "outside" if layout.bias_outside else patterns
