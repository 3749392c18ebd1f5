"""How operands lie in memory, and what a kernel reads that is handed a pointer and not the strides."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[Any]


def span(array: Array) -> int:
    """Return how many elements lie between the first of an array in memory and the last, both included."""
    steps = (abs(step) * (size - 1) for step, size in zip(array.strides, array.shape, strict=True))
    return sum(steps) // array.itemsize + 1 if array.size else 0


def storage(array: Array) -> Array:
    """Return what lies where an array begins, read as if it were contiguous; repeated where that is too little."""
    first = array[tuple(slice(None, None, -1) if step < 0 else slice(None) for step in array.strides)]
    flat = as_strided(first, (span(array),), (array.itemsize,), writeable=False)
    return np.resize(flat, array.shape)


def _channels_first(array: Array) -> bool:
    return array.ndim > 1 and not array.flags.c_contiguous and array.strides[-1] == max(array.strides)


def _several_strides(array: Array) -> bool:
    """Return whether no single stride leads through all matrices of the last two axes, as a batched product wants."""
    lead = [(size, step) for size, step in zip(array.shape[:-2], array.strides[:-2], strict=True) if size > 1]
    return any(outer != size * inner for (_, outer), (size, inner) in pairwise(lead))


def _stride_of_one_element(array: Array) -> bool:
    """Return whether an axis of length 1 has a stride that no contiguous array of this shape has."""
    usual = np.empty(array.shape, array.dtype).strides
    single = [step != wanted for size, step, wanted in zip(array.shape, array.strides, usual, strict=True) if size == 1]
    return array.flags.c_contiguous and any(single)


LAID: dict[str, Callable[[Array], bool]] = {
    "not contiguous": lambda array: not array.flags.c_contiguous,
    "channels first": _channels_first,
    "with gaps": lambda array: span(array) > array.size,
    "repeated": lambda array: any(step == 0 < size - 1 for size, step in zip(array.shape, array.strides, strict=True)),
    "with several strides": _several_strides,
    "with a stride of its own for an axis of length 1": _stride_of_one_element,
}
"""Words -> whether an array lies so."""
