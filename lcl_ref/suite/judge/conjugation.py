"""Naming what is wrong with complex numbers: conjugates taken, parts dropped or exchanged (SPEC clause 14.9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec

Array = NDArray[Any]
Layer = Callable[[Array, Array, Array | None], Array]
"""``(x, weight, bias) -> y``."""

MISTAKES: dict[str, Callable[[Layer, Array, Array, Array | None], Array]] = {
    "x is conjugated": lambda layer, x, weight, bias: layer(x.conj(), weight, bias),
    "the weight is conjugated": lambda layer, x, weight, bias: layer(x, weight.conj(), bias),
    "x and the weight are conjugated": lambda layer, x, weight, bias: layer(x.conj(), weight.conj(), bias),
    "the result is conjugated": lambda layer, x, weight, bias: layer(x, weight, bias).conj(),
    "the imaginary part of x is dropped": lambda layer, x, weight, bias: layer(x.real + 0j, weight, bias),
    "the imaginary part of the weight is dropped": lambda layer, x, weight, bias: layer(x, weight.real + 0j, bias),
    "the imaginary part of the result is dropped": lambda layer, x, weight, bias: layer(x, weight, bias).real + 0j,
    "real and imaginary part of the result are exchanged": lambda layer, x, weight, bias: (
        1j * layer(x, weight, bias).conj()
    ),
}
"""What was done -> the layer that does it, made of the right one."""


def mistake_of(spec: Spec, operands: Mapping[str, Array], got: Array) -> str:
    """Return the mistake whose result `got` is to the last bit, or an empty string.

    Parameters
    ----------
    spec : Spec
        The layer.
    operands : mapping of str to array
        Complex x, weight, and bias where there is one, whole numbers in both parts.
    got : array, shape (n, o*, co)
        The answer.
    """
    wide = {name: array.astype(np.complex128) for name, array in operands.items()}

    def layer(x: Array, weight: Array, bias: Array | None) -> Array:
        return batched.forward(spec, x, weight, bias)

    for name, mistake in MISTAKES.items():
        if np.array_equal(got, mistake(layer, wide["x"], wide["weight"], wide.get("bias"))):
            return name
    return ""
