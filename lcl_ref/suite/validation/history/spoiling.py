"""Parts of results, and what stands there instead of what should."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError, Violation

Array = NDArray[Any]
Mask = Callable[[Spec, str, Array, int], Array]
"""Layer, name of the result, the result and a number -> where; broadcasts against the result."""


def _channel(array: Array) -> Array:
    return np.arange(array.shape[-1])


def _sample(array: Array) -> Array:
    return np.arange(len(array)).reshape(-1, *[1] * (array.ndim - 1))


def _place(spec: Spec, name: str, array: Array) -> Array:
    """Return the number of each site or position, the last axis fastest."""
    first = 1 if name in ("y", "dx") else 0
    shape = array.shape[first : first + spec.rank]
    return np.arange(math.prod(shape)).reshape(*shape, *[1] * (array.ndim - first - spec.rank))


def _per_group(spec: Spec, name: str) -> int:
    return spec.group_channels if name == "dx" else spec.out_channels // spec.groups


def _last_tap_row(spec: Spec, _name: str, array: Array, _number: int) -> Array:
    axis = spec.rank
    rows = np.arange(array.shape[axis]).reshape(-1, *[1] * (array.ndim - axis - 1))
    return np.equal(rows, len(rows) - 1)


def _off_the_stride(spec: Spec, _name: str, array: Array, _number: int) -> Array:
    off = np.zeros((*array.shape[1:-1], 1), bool)
    for axis, (step, (lo, _)) in enumerate(zip(spec.stride, spec.padding, strict=True)):
        sites = np.arange(array.shape[1 + axis]).reshape(-1, *[1] * (spec.rank - axis))
        off |= (sites + lo) % step != 0
    return off


WHERE: dict[str, Mask] = {
    "everywhere": lambda spec, name, array, number: np.ones((), bool),  # noqa: ARG005 -- all have the same arguments
    "channels from N": lambda spec, name, array, number: _channel(array) >= number,  # noqa: ARG005
    "channels beyond a multiple of N": lambda spec, name, array, number: (  # noqa: ARG005
        _channel(array) >= array.shape[-1] // number * number
    ),
    "samples from N": lambda spec, name, array, number: _sample(array) >= number,  # noqa: ARG005
    "places from N": lambda spec, name, array, number: _place(spec, name, array) >= number,
    "places beyond a multiple of N": lambda spec, name, array, number: (
        _place(spec, name, array) >= _place(spec, name, array).size // number * number
    ),
    "last place": lambda spec, name, array, number: (  # noqa: ARG005
        _place(spec, name, array) == _place(spec, name, array).size - 1
    ),
    "last row of taps": _last_tap_row,
    "groups from N": lambda spec, name, array, number: _channel(array) >= number * _per_group(spec, name),
    "first channels of later groups": lambda spec, name, array, number: (  # noqa: ARG005
        (_channel(array) > 0) & (_channel(array) % _per_group(spec, name) == 0)
    ),
    "later channels of groups": lambda spec, name, array, number: (  # noqa: ARG005
        _channel(array) % _per_group(spec, name) != 0
    ),
    "sites off the stride": _off_the_stride,
}
"""Words -> part of a result; N is a number."""

HOLDS: dict[str, Callable[[Array], Array]] = {
    "zero": np.zeros_like,
    "garbage": lambda array: np.full_like(array, np.nan),
    "twice": lambda array: 2 * array,
    "half": lambda array: array / 2,
    "other elements": lambda array: np.roll(array, 1),
}
"""Words -> what stands there."""


def spoiled(spec: Spec, name: str, array: Array, where: str, holds: str) -> Array:
    """Return a result part of which holds something else.

    Raises
    ------
    LclError
        If there are no such words.
    """
    number = re.search(r"\d+", where)
    words = where.replace(number[0], "N") if number else where
    if words not in WHERE or holds not in HOLDS:
        raise LclError(Violation("history/words", "where, holds", f"{where!r}, {holds!r}", "words of spoiling.py"))
    mask = WHERE[words](spec, name, array, int(number[0]) if number else 0)
    return np.where(mask, HOLDS[holds](array), array)
