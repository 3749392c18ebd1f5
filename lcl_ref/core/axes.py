"""Axis names and their canonical order: the only place that knows them (SPEC clause 3)."""

from __future__ import annotations

SPATIAL = ("z", "y", "x")
"""Names of the spatial axes, slowest first; a layer of rank d uses the last d of them."""

MAX_RANK = len(SPATIAL)

_ORDER = {
    "x": "n i* ci",
    "y": "n o* co",
    "weight": "o* k* cg co",
    "bias/position": "o* co",
    "bias/channel": "co",
}
"""Axes of each tensor: n batch, i input site, o output position, k tap, ci/co channels, cg channels of one group."""


def spatial_names(rank: int) -> tuple[str, ...]:
    """Return the spatial axis names of a layer of `rank`: ``("y", "x")`` for rank 2."""
    return SPATIAL[MAX_RANK - rank :]


def axis_names(tensor: str, rank: int) -> tuple[str, ...]:
    """Return the axis names of `tensor`, e.g. ``("oy", "ox", "ky", "kx", "cg", "co")`` for ``weight`` at rank 2."""
    names: list[str] = []
    for token in _ORDER[tensor].split():
        names += [token[0] + name for name in spatial_names(rank)] if token.endswith("*") else [token]
    return tuple(names)
