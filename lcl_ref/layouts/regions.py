"""Layouts of weights that are stored once per region (SPEC clause 14.10): a family with the map in its name.

``regions/2x3`` holds a grid of 2 by 3 regions, ``regions/[[0,0],[1,0]]`` the map that is written there. The weight is
``r k* cg co`` and the bias ``r co``, ``r`` being the region; another order stands behind, as in
``regions/2x3/r co cg k* | r co``.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, SpecError, Violation
from lcl_ref.extensions import regions
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.own import own
from lcl_ref.layouts.pattern import Array, Axes

PREFIX = "regions/"
_USUAL = "r k* cg co"


def keras_regions(given: ArrayLike, rank: int) -> str:
    """Return the layout of the drop-in layer of Keras with regions: counts, or a map.

    Examples
    --------
    >>> keras_regions(2, rank=2), keras_regions([0, 1], rank=1)
    ('regions/2x2/r (k* cg) co | r co', 'regions/[0, 1]/r (k* cg) co | r co')
    """
    found = np.asarray(given)
    counts = found.ndim == 0 or (found.shape == (rank,) and found.min() >= 1)
    text = "x".join(map(str, np.broadcast_to(found, rank))) if counts else json.dumps(found.tolist())
    return f"{PREFIX}{text}/r (k* cg) co | r co"


@lru_cache(maxsize=64)
def layout_of(name: str) -> Layout:
    """Return the layout of a name that starts with `PREFIX`.

    Raises
    ------
    LayoutError
        If the map or the pattern cannot be read.
    """
    text, _, pattern = name.removeprefix(PREFIX).partition("/")
    given = _given(name, text)
    weight, bias = _patterns(name, pattern)
    return Layout(
        name=name,
        of="weights stored once per region, whose positions share them",
        source="SPEC.md, clause 14.10",
        version="",
        ranks=(np.ndim(given) if text.startswith("[") else len(given),),
        weight=weight,
        bias=bias,
        groups=True,
        why={"shared": "the regions say what is shared"},
        loses="Weights that differ inside a region are refused.",
        regions=given,
    )


def _given(name: str, text: str) -> Any:
    """Return counts per axis, or the map as nested tuples."""
    if re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}){0,2}", text):
        return tuple(map(int, text.split("x")))
    try:
        found = np.asarray(json.loads(text))
    except (ValueError, RecursionError):
        found = np.asarray(None)
    if found.dtype.kind == "i" and 1 <= found.ndim <= 3 and found.size:
        return json.loads(text)
    expected = "regions/2x3 (regions along each axis), or regions/[[0,0],[1,0]] (the region of each position)"
    raise LayoutError(Violation("layout/regions", "layout", f"{name!r:.80}", expected))


def _patterns(name: str, pattern: str) -> tuple[str, dict[str, str]]:
    """Return the pattern of the weight, and that of the bias by kind."""
    if not pattern:
        return _USUAL, {"position": "r co", "channel": "co"}
    words = [word for word in re.findall(r"\w+", pattern) if word == "r" or word.startswith("o")]
    if not words or any(word != "r" for word in words):
        expected = f"a pattern with r, the region, where others have o*, as in {PREFIX}2x3/{_USUAL} | r co"
        raise LayoutError(Violation("layout/pattern", "layout", repr(name), expected))
    written = own(re.sub(r"\br\b", "o*", pattern if "|" in pattern else f"{pattern} | r co"))
    bias = {kind: text.replace("o*", "r") for kind, text in written.bias.items()}
    return written.weight.replace("o*", "r"), bias


def where(layout: Layout, spec: Spec) -> regions.Map:
    """Return the region of each position."""
    assert layout.regions is not None
    return regions.as_map(spec, layout.regions)


def refusal(layout: Layout, spec: Spec) -> str | None:
    """Return why the map is none of this layer, or None where it is."""
    try:
        where(layout, spec)
    except SpecError as error:
        return str(error)
    return None


def lengths(layout: Layout, spec: Spec, axes: Axes) -> Axes:
    """Return the axes of a layer with one more, ``r``, where the layout has it."""
    if layout.regions is None:
        return axes
    return Axes(axes.rank, {**axes.lengths, "r": int(where(layout, spec).max()) + 1})


def spread(layout: Layout, spec: Spec, stored: Array) -> Array:
    """``(r, ...) -> (o*, ...)``."""
    found: Array = stored[where(layout, spec)]
    return found


def collapsed(layout: Layout, spec: Spec, array: Array, what: str) -> Array:
    """``(o*, ...) -> (r, ...)``; `LayoutError` where positions of a region differ."""
    return regions.collapse(where(layout, spec), array, what)


def alike(layout: Layout, spec: Spec, array: Array) -> Array:
    """Return an array of positions with that of the first position of its region in the place of each."""
    found = where(layout, spec)
    _, first = np.unique(found, return_index=True)
    rows: Array = array.reshape(found.size, *array.shape[spec.rank :])[first[found]]
    return rows
