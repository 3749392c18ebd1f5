"""Finding a layout by its name, and the one family of layouts with a parameter in the name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from itertools import permutations
from types import MappingProxyType

from lcl_ref.core.axes import spatial_names
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.layouts import regions
from lcl_ref.layouts.catalogue import ROWS
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.own import is_own, own

JAX_PREFIX = "jax/local/"
_LETTERS = {1: "W", 2: "HW", 3: "DHW"}
"""Rank -> letters of the spatial axes, slowest first."""


@lru_cache(maxsize=256)
def jax_local(rhs_spec: str) -> Layout:
    """Return the layout of ``jax.lax.conv_general_dilated_local`` under ``dimension_numbers[1] == rhs_spec``.

    Spatial letters are the *positions*; ``I`` is the input channel and then the taps, in the order of the spatial
    letters; ``O`` is the output channel.

    Raises
    ------
    LayoutError
        If `rhs_spec` is not an arrangement of ``O``, ``I`` and the letters of one, two or three spatial axes.
    """
    spatial = "".join(letter for letter in rhs_spec if letter not in "OI")
    rank = len(spatial)
    if sorted(rhs_spec) != sorted("OI" + _LETTERS.get(rank, "?")):
        expected = "an arrangement of OIW, OIHW or OIDHW"
        todo = "other spatial letters: rename them in dimension_numbers, slowest axis first, to W, HW or DHW"
        raise LayoutError(
            Violation("layout/rhs_spec", JAX_PREFIX + rhs_spec, f"rhs_spec {rhs_spec!r}", expected, "", todo)
        )
    axis = dict(zip(_LETTERS[rank], spatial_names(rank), strict=True))
    patch = " ".join(["cg", *("k" + axis[letter] for letter in spatial)])
    stored = {"O": "co", "I": f"({patch})"} | {letter: "o" + axis[letter] for letter in spatial}
    return Layout(
        name=JAX_PREFIX + rhs_spec,
        of=f"jax.lax.conv_general_dilated_local, rhs_spec {rhs_spec}",
        source="jax-ml/jax, jax/_src/lax/other.py",
        version="0.10.2",
        ranks=(rank,),
        weight=" ".join(stored[letter] for letter in rhs_spec),
        bias={"position": "o* co", "channel": "co"},
        bias_outside=True,
        why={"groups": "the operation has no groups"},
        note=f"{JAX_PREFIX}<rhs_spec> takes every arrangement of OIW, OIHW and OIDHW.",
        checked="live",
    )


def _listed() -> dict[str, Layout]:
    usual = [jax_local(spec) for spec in ("WIO", "OIW", "HWIO", "OIHW", "WHIO", "DHWIO", "OIDHW")]
    rows = [*ROWS, *usual]
    return {row.name: row for row in rows}


LAYOUTS: Mapping[str, Layout] = MappingProxyType(_listed())
"""Every layout by name; of the family ``jax/local/<rhs_spec>`` the usual members."""


def get(name: str) -> Layout:
    """Return the layout called `name`.

    Parameters
    ----------
    name : str
        Name from `LAYOUTS`, or of the families ``jax/local/<rhs_spec>`` and ``regions/<map>``, or a pattern:
        ``"1 co ci o* (k*) | 1 co o*"``.

    Returns
    -------
    Layout
        Its row of the catalogue.

    Raises
    ------
    LayoutError
        If there is none; the error lists the nearest names.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> lcl.layouts.get("jax/local/HWIO").weight
    'oy ox (cg ky kx) co'
    """
    if name in LAYOUTS:
        return LAYOUTS[name]
    if isinstance(name, str) and name.startswith(JAX_PREFIX):
        return jax_local(name.removeprefix(JAX_PREFIX))
    if isinstance(name, str) and name.startswith(regions.PREFIX):
        return regions.layout_of(name)
    if is_own(name):
        return own(name)
    nearest = _nearest(str(name))
    todo = f"did you mean {' or '.join(nearest)}?" if nearest else ""
    expected = (
        f"one of {len(LAYOUTS)} layouts (lcl layouts lists them), or a pattern such as '1 co ci o* (k*) | 1 co o*'"
    )
    raise LayoutError(Violation("layout/name", "layout", repr(name), expected, todo=todo))


def _nearest(name: str) -> list[str]:
    """Return names spelled alike, else names that hold every part of this one."""
    alike = difflib.get_close_matches(name.lower(), LAYOUTS, 3, cutoff=0.55)
    parts = [part for part in name.lower().replace("-", "/").replace("_", "/").split("/") if part]
    return alike or [known for known in LAYOUTS if parts and all(part in known for part in parts)][:6]


def names_of_rank(rank: int) -> list[str]:
    """Return the names of all layouts for layers of `rank`, the whole family ``jax/local`` included."""
    listed = [name for name, layout in LAYOUTS.items() if rank in layout.ranks and not name.startswith(JAX_PREFIX)]
    family = permutations(f"{_LETTERS[rank]}IO") if rank in _LETTERS else ()
    return listed + [JAX_PREFIX + "".join(letters) for letters in family]
