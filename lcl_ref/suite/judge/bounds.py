"""Error limits that are proved, not tuned (SPEC clause 12.2 derives them).

A sum of K products and a bias, taken in any order with unit roundoff u, is off by at most ``gamma(K + 1) * S`` where
``S = sum |left| |right| + |bias|`` and ``gamma(m) = m*u / (1 - m*u)``; storing the result adds half an ulp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.formats import FORMATS, FloatFormat
from lcl_ref.suite.golden.results import results

Floats = NDArray[np.float64]

WARNING_FACTOR = 4
"""Right sums were never seen beyond 4*sqrt(K+1)*u*S; between that and the limit a result is suspect, not wrong."""


@dataclass(frozen=True)
class Magnitude:
    """Per element of one result: ``total`` is S, ``terms`` the number of products K."""

    total: Floats
    terms: Floats


def gamma(terms: Floats | float, unit_roundoff: float) -> Floats:
    """Return ``m*u / (1 - m*u)`` for m = `terms`; infinite from ``m*u = 1`` on, where nothing can be proved."""
    product = np.asarray(terms, np.float64) * unit_roundoff
    return np.divide(product, 1 - product, out=np.full_like(product, np.inf), where=product < 1)


def magnitudes(spec: Spec, operands: Mapping[str, NDArray[Any]]) -> dict[str, Magnitude]:
    """Return S and K for every element of y, dx, dw and db.

    S is the layer of the absolute values and K the layer of ones: the specification counts its own terms.
    """
    sizes = {name: np.abs(operand.astype(np.float64)) for name, operand in operands.items()}
    ones = {name: np.ones_like(size) for name, size in sizes.items() if name != "bias"}
    total, terms = results(batched, spec, sizes), results(batched, spec, ones)
    # S itself was summed in float64: widen it by its own worst rounding, so that the limit stays a limit.
    return {name: Magnitude(sums * (1 + (terms[name] + 2) * 2.0**-52), terms[name]) for name, sums in total.items()}


def limit(magnitude: Magnitude, golden: Floats, form: FloatFormat, accumulation: FloatFormat) -> Floats:
    """Return the elementwise hard limit of ``|result - golden|`` (SPEC 12.2)."""
    error = gamma(magnitude.terms + 1, accumulation.unit_roundoff) * magnitude.total
    error = error + magnitude.terms * accumulation.smallest_subnormal
    return _stored(error, golden, form)


def warning_line(magnitude: Magnitude, golden: Floats, form: FloatFormat, accumulation: FloatFormat) -> Floats:
    """Return the elementwise error beyond which reduced precision is suspected (SPEC 12.3)."""
    error = WARNING_FACTOR * np.sqrt(magnitude.terms + 1) * accumulation.unit_roundoff * magnitude.total
    error = error + magnitude.terms * accumulation.smallest_subnormal
    return _stored(error, golden, form)


def _stored(error: Floats, golden: Floats, form: FloatFormat) -> Floats:
    """Add half an ulp of the stored result, taken at the largest magnitude the error allows."""
    half_ulp = form.unit_roundoff * (np.abs(golden) + error) + form.smallest_subnormal / 2
    return error + half_ulp


def accumulation_of(dtype: str, op: str, declared: Mapping[str, str]) -> FloatFormat:
    """Return the format sums of `op` in `dtype` are kept in: as an adapter declares, else as expected (SPEC 8.3)."""
    expected = declared.get(dtype, FORMATS[dtype].accumulation)
    return FORMATS[declared.get(f"{dtype}/{op}", expected)]
