"""Which arrays of a file belong together, by their names alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

WEIGHTS = ("weight", "kernel", "W", "weights")
BIASES = ("bias", "b", "biases")
"""Last part of the names that arrays of a layer have in one project or another."""


def by_owner(names: Iterable[str], leaves: tuple[str, ...]) -> dict[str, list[str]]:
    """Return layer name -> array names, for arrays called ``layer/leaf``, ``layer.leaf`` or ``layer_leaf``.

    Examples
    --------
    >>> by_owner(["local.weight", "head_W:0", "step"], WEIGHTS)
    {'local': ['local.weight'], 'head': ['head_W:0']}
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        bare = name.removesuffix(":0")
        for leaf in leaves:
            if bare == leaf:
                found[""].append(name)
            elif bare.endswith((f"/{leaf}", f".{leaf}", f"_{leaf}")):
                found[bare[: -len(leaf) - 1]].append(name)
    return dict(found)
