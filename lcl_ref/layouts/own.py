"""Layouts that a user writes down: ``"1 co cg o* (k*) | 1 co o*"``, a pattern of the weight and one of the bias.

The language is that of `lcl_ref.layouts.pattern`; ``ci`` may stand for ``cg``, ``o`` for ``o*`` and ``k`` for ``k*``.
Without a bias pattern the bias is ``o* co``.
"""

from __future__ import annotations

import re
from itertools import combinations

from lcl_ref.core.axes import spatial_names
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.layouts.layout import Layout
from lcl_ref.layouts.pattern import Axes, label, parse, single_axes

_SHORT = {"ci": "cg", "o": "o*", "k": "k*"}
_LANGUAGE = "axes o*, k*, ci, co (or g p), 1, with brackets around what is one axis, as in '1 co ci o* (k*) | 1 co o*'"


def is_own(name: object) -> bool:
    """Return whether a layout is written as a pattern; no name of the catalogue has a space, no pattern a slash."""
    return isinstance(name, str) and "/" not in name and bool(re.search(r"[\s()|]", name.strip()))


def own(text: str) -> Layout:
    """Return the layout that a user's pattern describes.

    Raises
    ------
    LayoutError
        If a word is not of the language, an axis stands twice, or brackets do not match.
    """
    weight, _, bias = text.partition("|")
    weight, bias = _words(text, weight), _words(text, bias or "o* co")
    ranks = [rank for rank in range(4) if _complete(weight, bias, rank)]
    if not ranks:
        raise _refusal(text, "each axis once in the weight, co and all or none of the positions in the bias")
    kind = "position" if re.search(r"\bo", bias) else "channel"
    written = f"{weight} | {bias}"
    source = "the pattern itself"
    return Layout(
        name=written, of="a pattern of your own", source=source, version="", ranks=ranks, weight=weight,
        bias={kind: bias}, groups=True, shared=True,
    )  # fmt: skip


def _words(text: str, pattern: str) -> str:
    words = re.findall(r"[()]|[^\s()]+", pattern)
    depth = 0
    for word in words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth not in (0, 1) or not (word in "()" or re.fullmatch(r"1|ci|cg|co|g|p|[ok]\*?|[ok][xyz]", word)):
            raise _refusal(text, _LANGUAGE)
    named = [_SHORT.get(word, word) for word in words]
    axes = [word for word in named if word not in ("(", ")", "1")]
    if depth or len(set(axes)) < max(1, len(axes)):
        raise _refusal(text, _LANGUAGE)
    return " ".join(named).replace("( ", "(").replace(" )", ")")


def _refusal(text: str, expected: str) -> LayoutError:
    todo = "o* are positions, k* taps, ci input channels of one group, co output channels; slowest axis first"
    return LayoutError(Violation("layout/pattern", "layout", repr(text), expected, todo=todo))


def _complete(weight: str, bias: str, rank: int) -> bool:
    """Return whether the patterns hold every axis of a layer of this rank that they must, each once."""
    positions = ["o" + name for name in spatial_names(rank)]
    known = {*positions, *("k" + name for name in spatial_names(rank)), "cg", "g", "p"}
    stored, offsets = single_axes(weight, rank), single_axes(bias, rank)
    once = len(set(stored)) == len(stored) and len(set(offsets)) == len(offsets)
    spread = [name for name in offsets if name.startswith("o")]
    whole = {"g", "p"} <= set(stored) & set(offsets) and sorted(spread) in ([], sorted(positions))
    return once and whole and set(stored) <= known and set(offsets) <= {*positions, "g", "p"}


def other_readings(layout: Layout, spec: Spec) -> list[str]:
    """Return the patterns in which two axes of the weight change places and its shape stays: it cannot tell which.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=9, in_channels=3, out_channels=4, kernel_size=3)
    >>> other_readings(own("o ci k co"), spec)
    ['ox kx cg co | o* co']
    """
    axes, stored = Axes.of_weight(spec), list(parse(layout.weight, spec.rank))
    shape = axes.shape(layout.weight)
    bias = next(iter(layout.bias.values()))
    readings = []
    for first, second in combinations(range(len(stored)), 2):
        if shape[first] == shape[second] > 1:
            swapped = list(stored)
            swapped[first], swapped[second] = stored[second], stored[first]
            readings.append(f"{' '.join(map(label, swapped))} | {bias}")
    return readings
