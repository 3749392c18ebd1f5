"""The layer, and layers that misread operands that lie in memory in one order: what checks of memory orders are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec

Array = NDArray[Any]

ALIGNED = 16
"""Bytes: what NumPy allocates lies at a multiple of it."""


def _never(_array: Array) -> bool:
    return False


class Layer:
    """The layer; operands for which `misread` holds are moved on by one element.

    Parameters
    ----------
    misread : callable
        Tells by how an array lies in memory whether it is misread.
    """

    def __init__(self, misread: Callable[[Array], bool] = _never) -> None:
        self._misread = misread

    def forward(self, spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return ``y (n, o*, co)``."""
        return batched.forward(spec, self._read(x), self._read(weight), None if bias is None else self._read(bias))

    def vjp(self, spec: Spec, x: Array, weight: Array, bias: Array | None, dy: Array) -> Any:  # noqa: ARG002 -- shape
        """Return ``(dx, dw, db)``."""
        return batched.vjp(spec, self._read(x), self._read(weight), self._read(dy))

    def transpose(self, spec: Spec, y: Array, weight: Array) -> Array:
        """Return ``xt (n, i*, ci)``."""
        return batched.transpose(spec, self._read(y), self._read(weight))

    def _read(self, array: Array) -> Array:
        return np.roll(array, 1) if self._misread(array) else array


def _strides(array: Array) -> tuple[int, ...]:
    return array.strides or (array.itemsize,)


def _one_element(array: Array) -> bool:
    """Return whether an axis of length 1 has a stride that only says that it has none."""
    usual = _strides(np.empty(array.shape, array.dtype))
    return array.flags.c_contiguous and array.ndim > 1 and _strides(array) != usual


MISREADING: dict[str, Layer] = {
    "fortran": Layer(lambda array: array.flags.fnc),
    "transposed": Layer(lambda array: array.ndim > 1 and _strides(array)[-1] == max(_strides(array))),
    "strided": Layer(lambda array: _strides(array)[-1] == 2 * array.itemsize),
    "negative-stride": Layer(lambda array: min(_strides(array)) < 0),
    "offset": Layer(lambda array: array.ctypes.data % ALIGNED != 0),
    "broadcast": Layer(lambda array: len(array) > 1 and _strides(array)[0] == 0),
    "one-sample": Layer(_one_element),
    "read-only": Layer(lambda array: not array.flags.writeable),
}
"""Memory order (`lcl_ref.suite.checks.orders`) -> a layer that misreads it."""
