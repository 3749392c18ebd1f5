"""The layer on NumPy's arrays: by the compiled kernel where it serves, else by `lcl_ref.core.batched`.

Arguments and results are those of `lcl_ref.core.batched`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lcl_ref.core import batched
from lcl_ref.core.checks import Array
from lcl_ref.core.reference import bias_gradient
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.kernel import Kernel, cores, kernel_of


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return ``y (n, o*, co)``."""
    offsets = [] if bias is None else [bias]
    kernel = _kernel(
        spec, (x, spec.x_shape(len(x))), (weight, spec.weight_shape), *((array, spec.bias_shape) for array in offsets)
    )
    if kernel is None:
        return batched.forward(spec, x, weight, bias)
    y = np.empty(spec.y_shape(len(x)), x.dtype)
    x, weight, offsets = _in_order(x), _in_order(weight), [_in_order(array) for array in offsets]
    at, position = (_at(offsets[0]), offsets[0].ndim > 1) if offsets else (None, False)
    kernel.output(_bits(y), len(x), _at(x), _at(weight), at, _at(y), cores(), position=position)
    return y


def transpose(spec: Spec, y: Array, weight: Array) -> Array:
    """Return ``xt (n, i*, ci)``."""
    kernel = _kernel(spec, (y, spec.y_shape(len(y))), (weight, spec.weight_shape))
    if kernel is None:
        return batched.transpose(spec, y, weight)
    xt = np.empty(spec.x_shape(len(y)), y.dtype)
    y, weight = _in_order(y), _in_order(weight)
    kernel.input_gradient(_bits(y), len(y), _at(y), _at(weight), _at(xt), cores())
    return xt


def vjp(spec: Spec, x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dw, db)``."""
    shapes = spec.x_shape(len(x)), spec.weight_shape, spec.y_shape(len(x))
    kernel = _kernel(spec, *zip((x, weight, dy), shapes, strict=True))
    if kernel is None:
        return batched.vjp(spec, x, weight, dy)
    dw = np.empty(spec.weight_shape, x.dtype)
    x, dy = _in_order(x), _in_order(dy)
    kernel.weight_gradient(_bits(x), len(x), _at(x), _at(dy), _at(dw), cores())
    return transpose(spec, dy, weight), dw, bias_gradient(spec, dy)


def _kernel(spec: Spec, *pairs: tuple[Array, Sequence[int] | None]) -> Kernel | None:
    """Return the kernel of a layer, if there is one and it takes such arrays: it trusts shapes, so they are checked."""
    dtype = pairs[0][0].dtype
    fits = dtype in (np.float32, np.float64) and dtype.isnative
    fits = fits and all(array.dtype == dtype and array.shape == shape for array, shape in pairs)
    return kernel_of(spec) if fits else None


def _in_order(array: Array) -> Array:
    """Return the array, or a copy of it, in C order and aligned."""
    return np.require(array, requirements=("C", "A"))


def _bits(array: Array) -> int:
    return array.itemsize * 8


def _at(array: Array) -> int:
    return array.ctypes.data
