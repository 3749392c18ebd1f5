"""Operands and golden results of one case, agreed on bit for bit by two oracles (SPEC clause 11)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched, dense_oracle, reference
from lcl_ref.core.spec import Spec
from lcl_ref.errors import FixtureError, Violation
from lcl_ref.suite.adapter import RESULTS
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.formats import DTYPES, FORMATS, in_parts
from lcl_ref.suite.golden import by_taps, exact_kinds, real_kinds, values

Array = NDArray[Any]
Arrays = dict[str, Array]

LARGEST_MATRIX = 2**18
"""Elements of the matrix of the dense oracle, for generated cases, of which some have 2^16 positions."""


def compute(case: Case) -> Arrays:
    """Return every array stored for `case`: operands and results, per dtype (``"float32/x"``) where rounded.

    Raises
    ------
    FixtureError
        If the two oracles differ in any bit.
    """
    if case.values == "rounded":
        return {f"{dtype}/{name}": array for dtype in DTYPES for name, array in _rounded(case, dtype).items()}
    if case.values == "complex":
        operands = complex_operands(case)
        y = agreed(case, operands)["y"]
        kept = {name: operand for name, operand in operands.items() if name != "dy"} | {"y": y}
        return {name: narrowest(in_parts(array).astype(np.int64)) for name, array in kept.items()}
    operands = exact_operands(case)
    if case.values == "nonfinite":
        operands = {name: operand.astype(np.float64) for name, operand in operands.items()}
        operands["x"] = values.plant(case.id, operands["x"].astype(np.int64))
        results = {"y": agreed(case, operands)["y"]}
        return {name: _canonical_nan(array) for name, array in (operands | results).items()}
    return {name: narrowest(array) for name, array in (operands | agreed(case, operands)).items()}


def exact_operands(case: Case) -> Arrays:
    """Return int64 operands: of its kind, or with the largest amplitude whose sums stay exact in the smallest dtype."""
    if case.operands in exact_kinds.ZEROS:
        return exact_kinds.ZEROS[case.operands](case)
    if case.operands in exact_kinds.LARGE:
        return exact_kinds.largest(case, lambda operands: max(certificate(case, operands).values()))
    candidates = [drawn(case, amplitude) for amplitude in values.AMPLITUDES]
    for form in sorted(FORMATS.values(), key=lambda form: form.precision):
        for operands in candidates:
            if max(certificate(case, operands).values()) <= form.largest_exact_integer:
                return operands
    bound = f"at most 2^{max(form.precision for form in FORMATS.values())}"
    raise FixtureError(Violation("golden/certificate", case.id, "sums too large for every dtype", bound))


def amplitude_of(operands: Mapping[str, Array]) -> int:
    """Return the amplitude that `exact_operands` chose: the largest number in x."""
    return int(np.abs(operands["x"]).max())


def drawn(case: Case, amplitude: int) -> Arrays:
    """Return int64 operands of an exact case; of the weights one in `case.one_in` is not zero."""
    operands = {
        name: values.integers(case.id, name, shape, values.BIAS_AMPLITUDE if name == "bias" else amplitude)
        for name, shape in case.spec.operand_shapes(case.batch).items()
    }
    return operands | {"weight": values.thinned(case.id, "weight", operands["weight"], case.one_in)}


def complex_operands(case: Case) -> Arrays:
    """Return complex128 operands whose real and imaginary parts are integers without 0 (SPEC 14.9)."""
    amplitude = values.AMPLITUDES[0]
    return {
        name: values.integers(case.id, name, shape, amplitude)
        + 1j * values.integers(case.id, f"{name}.imag", shape, amplitude)
        for name, shape in case.spec.operand_shapes(case.batch).items()
    }


def complex_certificate(case: Case, arrays: Mapping[str, Array]) -> dict[str, int]:
    """Return the largest ``sum |left| |right| + |bias|`` of y with ``|re| + |im|`` for magnitudes (SPEC 14.9)."""
    sizes = {name: np.abs(array.astype(np.int64)).sum(axis=-1) for name, array in arrays.items()}
    y = reference.forward(case.spec, sizes["x"], sizes["weight"], sizes.get("bias"))
    return {"y": int(y.max())}


def certificate(case: Case, operands: Mapping[str, Array]) -> dict[str, int]:
    """Return per result the largest ``sum |left| |right| + |bias|``: up to 2^p any order is exact (SPEC 12.1)."""
    magnitudes = {name: np.abs(operand) for name, operand in operands.items()}
    sums = by_products(case, magnitudes) if case.generated else results(reference, case.spec, magnitudes)
    return {name: int(array.max()) if array.size else 0 for name, array in sums.items()}


def results(route: ModuleType, spec: Spec, operands: Mapping[str, Array]) -> Arrays:
    """Return the results of a layer by one route, in the dtype of the operands."""
    x, weight, dy = operands["x"], operands["weight"], operands["dy"]
    y = route.forward(spec, x, weight, operands.get("bias"))
    dx, dw, db = route.vjp(spec, x, weight, dy)
    named = zip(RESULTS, (y, dx, dw, db), strict=True)
    return {name: array for name, array in named if array is not None}


def by_products(case: Case, operands: Mapping[str, Array]) -> Arrays:
    """Return the results of integers by matrix products in float64, which are exact by the certificate, as int64."""
    wide = {name: operand.astype(np.float64) for name, operand in operands.items()}
    return {name: array.astype(np.int64) for name, array in results(batched, case.spec, wide).items()}


def _routes(case: Case) -> tuple[ModuleType, ModuleType]:
    """Return the two oracles: for generated cases those that need neither too long nor too large a matrix."""
    spec = case.spec
    inputs, outputs = (math.prod(shape) for shape in (spec.x_shape(1), spec.y_shape(1)))
    first = by_taps if case.generated and math.prod(spec.output_size) > spec.channels.size else reference
    return first, batched if case.generated and inputs * outputs > LARGEST_MATRIX else dense_oracle


def agreed(case: Case, operands: Mapping[str, Array]) -> Arrays:
    """Return the results both oracles agree on."""
    first, second = _routes(case)
    with np.errstate(invalid="ignore"):
        ours = results(first, case.spec, operands)
        others = results(second, case.spec, operands)
    for name, mine in ours.items():
        other = others[name]
        equal_nan = mine.dtype.kind == "f"
        if mine.shape != other.shape or not np.array_equal(mine, other, equal_nan=equal_nan):
            got, expected = f"dense oracle {other.shape}", f"the bits of the reference {mine.shape}"
            raise FixtureError(Violation("golden/oracles", f"{case.id}/{name}", got, expected))
    return ours


def _rounded(case: Case, dtype: str) -> Arrays:
    """Return operands exact in `dtype` and, as float64, the number nearest to each exact result (SPEC 12.2)."""
    drawn = real_kinds.drawn(case, dtype)
    stored = {name: operand.floats().astype(FORMATS[dtype].dtype) for name, operand in drawn.items()}
    scale = {name: operand.scale for name, operand in drawn.items()}
    scales = {
        "y": scale["x"] + scale["weight"],
        "dx": scale["dy"] + scale["weight"],
        "dw": scale["x"] + scale["dy"],
        "db": scale["dy"],
    }
    whole = {name: operand.whole for name, operand in drawn.items()}
    if "bias" in whole:  # to the common scale of a product
        whole["bias"] = whole["bias"] << (scales["y"] - scale["bias"])
    return stored | {name: _real(integers, scales[name]) for name, integers in agreed(case, whole).items()}


def _real(integers: Array, scale: int) -> NDArray[np.float64]:
    """Return ``integers * 2**-scale`` rounded once: true division of Python integers is correctly rounded."""
    times, over = 2 ** max(-scale, 0), 2 ** max(scale, 0)
    flat = [integer * times / over for integer in integers.reshape(-1)]
    return np.array(flat, np.float64).reshape(integers.shape)


def narrowest(array: Array) -> Array:
    """Return an integer array in the narrowest signed type that holds it."""
    peak = int(np.abs(array).max()) if array.size else 0
    for dtype in (np.int8, np.int16, np.int32):
        if peak <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array


def _canonical_nan(array: Array) -> NDArray[np.float32]:
    """Return float32 with every NaN replaced by the one NumPy constant, whose bits are the same everywhere."""
    return np.where(np.isnan(array), np.nan, array).astype(np.float32)
