"""Random numbers that are the same bits on every machine: uniform, normal and truncated normal.

The source is the raw 64-bit stream of NumPy's Philox, which NumPy guarantees, unlike the methods of `Generator`.
Everything after it is addition, multiplication, division and square root, which IEEE 754 rounds correctly, in a fixed
order; no function of a C library whose last bit differs between machines (`log`, `exp`, `cos`) is called.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRUNCATED_AT = 2.0
TRUNCATED_BELOW = 0.022750131948179207
"""The normal distribution function at -2, whence a truncated draw starts."""

TRUNCATED_DEVIATION = 0.87962566103423978
"""Standard deviation of a standard normal truncated to -2 ... 2."""

LN2 = 0.6931471805599453
SERIES = tuple(1 / odd for odd in range(23, 2, -2))
"""Coefficients of ``atanh(s) = s*(1 + s^2/3 + s^4/5 ...)``, the last one first; enough for ``|s| <= 0.172``."""

# Wichura (1988), algorithm AS 241: rational functions of the middle, the flanks and the tails, the last one first.
MIDDLE = (
    (
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ),
)
FLANK = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ),
)
TAIL = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ),
)


def uniform(key: str, shape: tuple[int, ...]) -> Floats:
    """Return numbers between 0 and 1, both excluded: odd multiples of ``2**-53``, so that u and 1 - u are as likely.

    Parameters
    ----------
    key : str
        Names the stream; other keys give other numbers.
    shape : tuple of int
        Shape of the answer.
    """
    digest = hashlib.sha256(key.encode()).digest()
    raw = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(math.prod(shape))
    whole = (np.asarray(raw, np.uint64) >> np.uint64(12)) * np.uint64(2) + np.uint64(1)
    numbers: Floats = (whole.astype(np.float64) * 2.0**-53).reshape(shape)
    return numbers


def normal(key: str, shape: tuple[int, ...]) -> Floats:
    """Return standard normal numbers: the quantiles of `uniform` ones."""
    return quantile(uniform(key, shape))


def truncated_normal(key: str, shape: tuple[int, ...]) -> Floats:
    """Return normal numbers between -2 and 2, divided by their standard deviation."""
    drawn = TRUNCATED_BELOW + uniform(key, shape) * (1 - 2 * TRUNCATED_BELOW)
    return quantile(drawn) / TRUNCATED_DEVIATION


def quantile(share: Floats) -> Floats:
    """Return the standard normal quantiles of numbers between 0 and 1 (Wichura 1988, error about 1e-16)."""
    centred = share - 0.5
    found = np.empty_like(share)
    middle = np.abs(centred) <= 0.425
    inner = centred[middle]
    found[middle] = inner * _ratio(MIDDLE, 0.180625 - inner * inner)
    outer = centred[~middle]
    root = np.sqrt(-log(np.where(outer < 0, share[~middle], 1 - share[~middle])))
    sizes = np.where(root <= 5, _ratio(FLANK, root - 1.6), _ratio(TAIL, root - 5))
    found[~middle] = np.where(outer < 0, -sizes, sizes)
    return found


def log(values: Floats) -> Floats:
    """Return the natural logarithm of positive numbers, by arithmetic alone, to about 1e-16."""
    fraction, exponent = np.frexp(values)
    small = fraction < math.sqrt(0.5)
    fraction, exponent = np.where(small, 2 * fraction, fraction), exponent - small
    slope = (fraction - 1) / (fraction + 1)
    series = _polynomial((*SERIES, 1.0), slope * slope)
    logarithm: Floats = exponent * LN2 + 2 * slope * series
    return logarithm


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], at: Floats) -> Floats:
    return _polynomial(coefficients[0], at) / _polynomial(coefficients[1], at)


def _polynomial(coefficients: tuple[float, ...], at: Floats) -> Floats:
    """Return the polynomial by Horner's rule; `coefficients` start with that of the highest power."""
    total = np.full_like(at, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * at + coefficient
    return total
