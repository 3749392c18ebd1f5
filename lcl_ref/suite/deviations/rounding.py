"""Rounding to the formats that hardware substitutes for float32, on float64 arrays and with NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PRECISION = {"tf32": 11, "bfloat16": 8}
"""Significand bits of the formats NumPy does not have; their exponents range as float32's."""


def rounded(array: Array, form: str) -> Array:
    """Return a float64 array rounded to nearest even in `form`: float16, float32, tf32, bfloat16, or "" for none."""
    if not form:
        return array
    if form in PRECISION:
        fraction, exponent = np.frexp(array)
        precision = PRECISION[form]
        whole: Array = np.rint(np.ldexp(fraction, precision))
        return np.asarray(np.ldexp(whole, exponent - precision))
    with np.errstate(over="ignore"):
        return array.astype(form).astype(np.float64)
