"""Operands of the cases, drawn from a frozen generator (SPEC clause 11.1).

The source is the raw 64-bit stream of NumPy's Philox, keyed by case id and tensor name: NumPy guarantees that stream,
not the methods of `numpy.random.Generator`. A case never changes because another one was added.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.formats import FORMATS

Array = NDArray[Any]

AMPLITUDES = (3, 2, 1)
"""Largest operands of an exact case, the first with which every sum is exact."""

BIAS_AMPLITUDE = 7

SPREAD = 3
"""Reals lie in four binades, ``2**-SPREAD <= |value| < 2``, so that sums mix magnitudes."""

PLANTED = (np.inf, -np.inf, np.nan)
"""What a nonfinite case puts into x, one each, at drawn places."""


def raw(case_id: str, tensor: str, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return raw 64-bit numbers for one tensor of one case."""
    digest = hashlib.sha256(f"{case_id}:{tensor}".encode()).digest()
    stream = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    return np.asarray(stream.random_raw(math.prod(shape)), np.uint64).reshape(shape)


def integers(case_id: str, tensor: str, shape: tuple[int, ...], amplitude: int) -> NDArray[np.int64]:
    """Return integers of ``-amplitude ... amplitude`` without 0, which would hide a wrong factor."""
    drawn = (raw(case_id, tensor, shape) % np.uint64(2 * amplitude)).astype(np.int64) - amplitude
    shifted: NDArray[np.int64] = drawn + (drawn >= 0)
    return shifted


def thinned(case_id: str, tensor: str, drawn: NDArray[np.int64], one_in: int) -> NDArray[np.int64]:
    """Return what `integers` drew with zeros: kept is one of `one_in` elements, by the upper half of its raw number."""
    upper = raw(case_id, tensor, drawn.shape) >> np.uint64(32)
    return np.where(upper % np.uint64(one_in) == 0, drawn, 0)


def significands(case_id: str, tensor: str, shape: tuple[int, ...], dtype: str, binades: int = SPREAD + 1) -> Array:
    """Return Python integers (dtype object) m such that ``m * 2**-real_scale(dtype)`` are reals exact in `dtype`.

    Each has a full significand of the dtype, a random sign and one of `binades` exponents; nothing is ever rounded.
    """
    bits = raw(case_id, tensor, shape)
    precision = FORMATS[dtype].precision
    magnitude = (bits >> np.uint64(65 - precision)) | np.uint64(1 << (precision - 1))
    exponents = (bits >> np.uint64(1)) % np.uint64(1 << 10) % np.uint64(binades)
    shifted = magnitude.astype(object) << exponents.astype(object)
    signed: Array = shifted * np.where(bits & np.uint64(1), -1, 1).astype(object)
    return signed


def real_scale(dtype: str) -> int:
    """Return e such that the reals of `dtype` are ``significand * 2**-e``."""
    return FORMATS[dtype].precision - 1 + SPREAD


def plant(case_id: str, x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return x with one inf, one -inf and one NaN in different samples or sites, at places drawn for the case."""
    places = np.argsort(raw(case_id, "places", (x.size,)), kind="stable")[: len(PLANTED)]
    planted = x.astype(np.float64)
    planted.reshape(-1)[places] = PLANTED
    return planted
