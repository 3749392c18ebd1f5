"""Memory orders: the same numbers, laid out as arrays of callers are (SPEC clause 8.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[Any]


def fortran(array: Array) -> Array:
    """Return a copy whose first axis lies closest."""
    return array.copy("F")


def transposed(array: Array) -> Array:
    """Return a view, channels last, of a copy with channels first."""
    return np.moveaxis(np.moveaxis(array, -1, 0).copy("C"), 0, -1)


def strided(array: Array) -> Array:
    """Return every second element of a larger array along each axis; NaN lies between and around them."""
    base = np.full([2 * size + 1 for size in array.shape], np.nan, array.dtype)
    view = base[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def negative(array: Array) -> Array:
    """Return a view that runs backwards along every axis."""
    backwards = (slice(None, None, -1),) * array.ndim
    return array[backwards].copy("C")[backwards]


def offset(array: Array) -> Array:
    """Return contiguous memory that begins one element into a larger array; NaN lies before and behind."""
    base = np.full(array.size + 2, np.nan, array.dtype)
    view = base[1:-1].reshape(array.shape)
    view[...] = array
    return view


def broadcast(array: Array) -> Array:
    """Return the first entry of the first axis, repeated with stride 0: numbers of its own."""
    first = array[:1].copy("C")
    return as_strided(first, array.shape, (0, *first.strides[1:]))


def one_sample(array: Array) -> Array:
    """Return contiguous memory; axes of length 1, whose stride says nothing, have one of a single element."""
    copy = array.copy("C")
    steps = (copy.itemsize if size == 1 else step for size, step in zip(copy.shape, copy.strides, strict=True))
    return as_strided(copy, copy.shape, tuple(steps))


def read_only(array: Array) -> Array:
    """Return a copy that cannot be written to."""
    copy = array.copy("C")
    copy.flags.writeable = False
    return copy


ORDERS: dict[str, Callable[[Array], Array]] = {
    "fortran": fortran,
    "transposed": transposed,
    "strided": strided,
    "negative-stride": negative,
    "offset": offset,
    "broadcast": broadcast,
    "one-sample": one_sample,
    "read-only": read_only,
}
"""Name -> how an array is laid out so."""

WORDS = {
    "fortran": "in Fortran order",
    "transposed": "a view, channels last, of memory with channels first",
    "strided": "every second element of a larger array",
    "negative-stride": "a view with negative strides",
    "offset": "one element into a larger buffer",
    "broadcast": "repeated with stride 0",
    "one-sample": "a batch of one, whose stride says nothing",
    "read-only": "read-only",
}
"""Name -> what is said of such an operand."""
