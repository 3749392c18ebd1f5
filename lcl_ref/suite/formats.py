"""The dtypes the suite speaks about, and the arithmetic facts of each (SPEC clauses 8 and 14.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format; a complex one by its parts.

    Parameters
    ----------
    name : str
        NumPy or ml_dtypes name.
    dtype : numpy.dtype
        The storage dtype.
    precision : int
        Bits of the significand, the hidden one included: every integer up to ``2**precision`` is exact.
    min_exponent : int
        The smallest normal number is ``2**min_exponent``.
    accumulation : str
        Name of the format sums are expected to be kept in.
    """

    name: str
    dtype: np.dtype[Any]
    precision: int
    min_exponent: int
    accumulation: str

    @property
    def unit_roundoff(self) -> float:
        """u: half the distance from 1 to the next number."""
        return 2.0**-self.precision

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number."""
        return 2.0 ** (self.min_exponent - self.precision + 1)

    @property
    def largest_exact_integer(self) -> int:
        """Every integer up to this one is representable."""
        return 1 << self.precision


FORMATS = {
    form.name: form
    for form in (
        FloatFormat("float16", np.dtype(np.float16), 11, -14, "float32"),
        FloatFormat("bfloat16", np.dtype(ml_dtypes.bfloat16), 8, -126, "float32"),
        FloatFormat("float32", np.dtype(np.float32), 24, -126, "float32"),
        FloatFormat("float64", np.dtype(np.float64), 53, -1022, "float64"),
        FloatFormat("complex64", np.dtype(np.complex64), 24, -126, "complex64"),
    )
}
DTYPES = tuple(name for name, form in FORMATS.items() if form.dtype.kind != "c")
"""The real formats, in which every case is asked."""

ALL_DTYPES = tuple(FORMATS)
"""The complex one too, in which the complex cases are asked."""


def in_parts(array: Array) -> Array:
    """Return a complex array as its real and imaginary parts along a new last axis, a real one as it is."""
    return np.stack([array.real, array.imag], axis=-1) if array.dtype.kind == "c" else array


def from_parts(array: Array) -> Array:
    """Return complex numbers whose parts lie along the last axis: the inverse of `in_parts`, as complex128."""
    numbers: Array = array[..., 0] + 1j * array[..., 1]
    return numbers
