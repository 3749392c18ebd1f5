"""Named-axis patterns: how a stored array's axes are made of the layer's axes (SPEC clause 3).

A pattern names the stored axes, slowest first. ``(a b)`` is one axis holding several, the last fastest (C order); ``1``
is an axis of size 1. The names are those of `lcl_ref.core.axes`: ``o*`` positions, ``k*`` taps, ``i*`` input sites (a
star stands for one axis per spatial axis, ``oy ox`` at rank 2), ``cg`` input channels of one group, ``co`` output
channels, which is ``(g p)``: group, and output channel within it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.axes import spatial_names
from lcl_ref.core.spec import Spec

Array = NDArray[Any]
Pattern = tuple[tuple[str, ...], ...]

CANONICAL = "o* k* cg co"
TAPS = "o* k* cg g p"
"""The canonical weight, and the same with every axis single: the form in which all layouts meet."""


@lru_cache(maxsize=1024)
def parse(text: str, rank: int) -> Pattern:
    """Return what each stored axis holds: ``"(o*) cg co"`` at rank 2 is ``(("oy", "ox"), ("cg",), ("g", "p"))``."""
    axes: list[tuple[str, ...]] = []
    inside: list[str] | None = None
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            inside = []
        elif word == ")":
            axes.append(tuple(inside or ()))
            inside = None
        elif inside is not None:
            inside += _expand(word, rank)
        elif word.endswith("*"):
            axes += [(name,) for name in _expand(word, rank)]
        else:
            axes.append(tuple(_expand(word, rank)))
    return tuple(axes)


def _expand(word: str, rank: int) -> list[str]:
    if word.endswith("*"):
        return [word[0] + name for name in spatial_names(rank)]
    return {"co": ["g", "p"], "1": []}.get(word, [word])


def single_axes(text: str, rank: int) -> list[str]:
    """Return the layer's axes in the order a pattern stores them."""
    return [name for axis in parse(text, rank) for name in axis]


def label(axis: tuple[str, ...]) -> str:
    """Return the name of one stored axis as patterns write it: ``oy``, ``(oy ox)``, ``co``, ``1``."""
    names = [_part_name(part) for part in _parts(axis)]
    return names[0] if len(names) == 1 else f"({' '.join(names)})" if names else "1"


def _parts(axis: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Split an axis into its names, keeping ``g p`` together as the output channel they are."""
    parts: list[tuple[str, ...]] = []
    for name in axis:
        if name == "p" and parts and parts[-1] == ("g",):
            parts[-1] = ("g", "p")
        else:
            parts.append((name,))
    return parts


def _part_name(part: tuple[str, ...]) -> str:
    return part[0] if len(part) == 1 else "co"


@dataclass(frozen=True)
class Axes:
    """The layer's axes with their lengths, and what patterns do to arrays that have them."""

    rank: int
    lengths: Mapping[str, int]

    @classmethod
    def of_weight(cls, spec: Spec) -> Axes:
        """Return the axes of the weight (positions 1 along shared axes) and of the input sites."""
        groups = spec.groups if spec.channel_table is None else 1
        lengths = {"cg": spec.group_channels, "g": groups, "p": spec.out_channels // groups}
        for letter, values in (("o", spec.weight_size), ("k", spec.kernel_size), ("i", spec.input_size)):
            lengths |= {letter + name: size for name, size in zip(spatial_names(spec.rank), values, strict=True)}
        return cls(spec.rank, lengths)

    @classmethod
    def of_bias(cls, spec: Spec) -> Axes:
        """Return the axes of the bias, which is never shared over some positions only (SPEC 3.3)."""
        positions = {"o" + name: size for name, size in zip(spatial_names(spec.rank), spec.output_size, strict=True)}
        return cls(spec.rank, {**cls.of_weight(spec).lengths, **positions})

    def shape(self, text: str) -> tuple[int, ...]:
        """Return the shape of an array stored by pattern `text`."""
        return tuple(self._length(axis) for axis in parse(text, self.rank))

    def unpack(self, array: Array, text: str, order: str) -> Array:
        """Return a view of `array`, stored by pattern `text`, with the single axes of pattern `order`.

        Axes of `order` that `text` leaves out are inserted with length 1. A contiguous `array` is not copied.
        """
        stored, wanted = single_axes(text, self.rank), single_axes(order, self.rank)
        missing = [name for name in wanted if name not in stored]
        split = array.reshape([self.lengths[name] for name in stored] + [1] * len(missing))
        return split.transpose([[*stored, *missing].index(name) for name in wanted])

    def pack(self, view: Array, order: str, text: str, copy: bool | None = True) -> Array:
        """Store the single axes of pattern `order` by pattern `text`: the inverse of `unpack`.

        In new memory, or with `copy` None only where the order of the elements changes.
        """
        have, stored = single_axes(order, self.rank), single_axes(text, self.rank)
        dropped = [name for name in have if name not in stored]
        moved = view.transpose([have.index(name) for name in [*stored, *dropped]])
        return np.array(moved, order="C", copy=copy).reshape(self.shape(text))

    def arithmetic(self, axis: tuple[str, ...]) -> str:
        """Return the length of one stored axis with where it comes from: ``18 = 3*2*3 (ky*kx*cg)``."""
        parts = _parts(axis)
        if len(parts) < 2:
            return f"{self._length(axis)} ({label(axis)})"
        values = "*".join(str(self._length(part)) for part in parts)
        return f"{self._length(axis)} = {values} ({'*'.join(map(_part_name, parts))})"

    def _length(self, axis: tuple[str, ...]) -> int:
        return math.prod(self.lengths[name] for name in axis)
