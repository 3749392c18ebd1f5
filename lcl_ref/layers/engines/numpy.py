"""The layer on NumPy's arrays: by the compiled kernel where it serves, else by `lcl_ref.core.batched`.

Arguments and results are those of `lcl_ref.core.batched`. Half types are summed in float32 and rounded once (SPEC 8.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from lcl_ref.core import batched
from lcl_ref.core.checks import Array
from lcl_ref.core.reference import bias_gradient
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import kept_memory
from lcl_ref.layers.engines.kernel import FORMATS, HALVES, Kernel, cores, kernel_of

_Answer = TypeVar("_Answer")


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return ``y (n, o*, co)``."""
    offsets = [] if bias is None else [bias]
    kernel = _kernel(
        spec, (x, spec.x_shape(len(x))), (weight, spec.weight_shape), *((array, spec.bias_shape) for array in offsets)
    )
    if kernel is None:
        return _plain(batched.forward, spec, x, weight, bias)
    y = _reused(spec.y_shape(len(x)), x.dtype)
    x, weight, offsets = _in_order(x), _in_order(weight), [_in_order(array) for array in offsets]
    at, position = (_at(offsets[0]), offsets[0].ndim > 1) if offsets else (None, False)
    kernel.output(FORMATS[y.dtype.name], len(x), _at(x), _at(weight), at, _at(y), cores(), position=position)
    return y


def transpose(spec: Spec, y: Array, weight: Array) -> Array:
    """Return ``xt (n, i*, ci)``."""
    kernel = _kernel(spec, (y, spec.y_shape(len(y))), (weight, spec.weight_shape))
    if kernel is None:
        return _plain(batched.transpose, spec, y, weight)
    xt = _reused(spec.x_shape(len(y)), y.dtype)
    y, weight = _in_order(y), _in_order(weight)
    kernel.input_gradient(FORMATS[y.dtype.name], len(y), _at(y), _at(weight), _at(xt), cores())
    return xt


def vjp(spec: Spec, x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dw, db)``."""
    shapes = spec.x_shape(len(x)), spec.weight_shape, spec.y_shape(len(x))
    kernel = _kernel(spec, *zip((x, weight, dy), shapes, strict=True), weight_gradient=True)
    if kernel is None:
        return _plain(batched.vjp, spec, x, weight, dy)
    dw, db = _reused(spec.weight_shape, x.dtype), np.empty(dy.shape[1:], x.dtype) if spec.bias == "position" else None
    x, dy, at = _in_order(x), _in_order(dy), None if db is None else _at(db)
    kernel.weight_gradient(FORMATS[x.dtype.name], len(x), _at(x), _at(dy), _at(dw), cores(), db=at)
    return transpose(spec, dy, weight), dw, _plain(bias_gradient, spec, dy) if db is None else db


def _kernel(spec: Spec, *pairs: tuple[Array, Sequence[int] | None], weight_gradient: bool = False) -> Kernel | None:
    """Return the kernel of a layer, if there is one and it takes such arrays: it trusts shapes, so they are checked."""
    dtype = pairs[0][0].dtype
    fits = dtype.isnative and all(array.dtype == dtype and array.shape == shape for array, shape in pairs)
    kernel = kernel_of(spec) if fits else None
    serves = kernel is not None and kernel.serves(FORMATS.get(dtype.name), weight_gradient=weight_gradient)
    return kernel if serves else None


def _plain(function: Callable[..., _Answer], spec: Spec, first: Array, *others: Array | None) -> _Answer:
    """Return what a function of `lcl_ref.core` answers, which keeps sums in the format of its arguments."""
    if FORMATS.get(first.dtype.name) not in HALVES:
        return function(spec, first, *others)
    found: Any = function(spec, *(None if array is None else array.astype(np.float32) for array in (first, *others)))
    parts = found if isinstance(found, tuple) else (found,)
    rounded: Any = [None if part is None else part.astype(first.dtype) for part in parts]
    return cast("_Answer", tuple(rounded) if isinstance(found, tuple) else rounded[0])


def _reused(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """Return an array with any contents; if it is large, in memory that is kept for the next of its size."""
    memory = kept_memory.memory(math.prod(shape) * dtype.itemsize)
    return np.empty(shape, dtype) if memory is None else np.frombuffer(memory, dtype).reshape(shape)


def _in_order(array: Array) -> Array:
    """Return the array, or a copy of it, in C order and aligned."""
    return np.require(array, requirements=("C", "A"))


def _at(array: Array) -> int:
    return array.ctypes.data
