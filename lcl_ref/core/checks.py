"""Checks of arrays against a `Spec`, and the dtype rule of the reference (SPEC clauses 3, 8, 10)."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.axes import axis_names, spatial_names
from lcl_ref.core.geometry import output_arithmetic
from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, Violation

Array = NDArray[Any]

_WIDE = {"b": np.int64, "i": np.int64, "u": np.int64, "f": np.float64, "V": np.float64, "c": np.complex128}
"""Kind of an operand -> dtype the reference accumulates in ("V": the half types of ml_dtypes)."""

_ABSENT: Any = object()
"""An argument left out, as opposed to None in the place of an array."""


def check(
    spec: Spec, *, x: Any = _ABSENT, y: Any = _ABSENT, dy: Any = _ABSENT, weight: Any = _ABSENT, bias: Any = _ABSENT
) -> None:
    """Refuse arrays that do not fit `spec`, naming every axis at fault. An argument left out is not checked; None is.

    Parameters
    ----------
    spec : Spec
        The layer.
    x : array
        ``(n, i*, ci)``.
    y, dy : array
        An output and its cotangent, ``(n, o*, co)``; the batch must be that of `x` where both are given.
    weight : array
        ``(o*, k*, cg, co)``, with 1 along shared position axes.
    bias : array or None
        ``(o*, co)`` or ``(co,)``; must be None exactly where ``spec.bias == "none"``.

    Raises
    ------
    ShapeError
        If a shape differs, an array is missing or one too many, or does not hold numbers (SPEC 10.10, 10.11).
    """
    if not isinstance(spec, Spec):
        raise ShapeError(Violation("spec/type", "spec", type(spec).__name__, "a Spec, as the first argument"))
    problems: list[Violation] = []
    given = {name: value for name, value in (("x", x), ("y", y), ("dy", dy)) if value is not _ABSENT}
    batch: int | None = None
    for name, value in given.items():
        array = _numbers(problems, name, value)
        if array is not None:
            batch = batch if batch is not None or array.ndim != spec.rank + 2 else len(array)
            shape = spec.x_shape(batch or 0) if name == "x" else spec.y_shape(batch or 0)
            problems += _compare(spec, name, name, array, shape)
    if weight is not _ABSENT and (array := _numbers(problems, "weight", weight)) is not None:
        problems += _compare(spec, "weight", "weight", array, spec.weight_shape)
    if bias is not _ABSENT:
        _check_bias(problems, spec, bias)
    if problems:
        raise ShapeError(problems)


def _numbers(problems: list[Violation], name: str, value: Any) -> Array | None:
    """Return `value` as an array of numbers, or None after noting why it is none."""
    if value is None:
        problems.append(Violation(f"{name}/presence", name, "None", "an array"))
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        problems.append(Violation(f"{name}/ragged", name, "nested lists of unequal lengths", "an array"))
        return None
    named = array.dtype.kind in _WIDE and array.dtype.type is not np.void
    if named or (array.dtype.kind == "O" and all(isinstance(entry, Number) for entry in array.flat)):
        return array
    problems.append(Violation(f"{name}/dtype", name, f"dtype {array.dtype}", "numbers"))
    return None


def _check_bias(problems: list[Violation], spec: Spec, bias: Any) -> None:
    if (bias is None) != (spec.bias_shape is None):
        got = "None" if bias is None else f"an array of shape {np.shape(bias)}"
        expected = "None" if spec.bias_shape is None else f"an array of shape {spec.bias_shape}"
        problems.append(Violation("bias/presence", "bias", got, f"{expected} (spec.bias is {spec.bias!r})"))
    elif spec.bias_shape is not None and (array := _numbers(problems, "bias", bias)) is not None:
        problems += _compare(spec, "bias", f"bias/{spec.bias}", array, spec.bias_shape)


def _compare(spec: Spec, name: str, tensor: str, array: Array, expected: tuple[int, ...]) -> list[Violation]:
    names = axis_names("y" if tensor == "dy" else tensor, spec.rank)
    if array.ndim != len(expected):
        got = f"{array.ndim} axes of shape {array.shape}"
        sizes = ", ".join(axis if axis == "n" else f"{axis}={size}" for axis, size in zip(names, expected, strict=True))
        kind = f"; spec.bias is {spec.bias!r}" if name == "bias" else ""
        return [Violation(f"{name}/axes", name, got, f"{len(expected)} axes ({sizes}{kind})")]
    table = ", ".join(f"{axis}={size}" for axis, size in zip(names, array.shape, strict=True))
    return [
        Violation(f"{name}/{axis}", name, f"{got} elements ({table})", _arithmetic(spec, axis, want), axis)
        for axis, got, want in zip(names, array.shape, expected, strict=True)
        if got != want
    ]


def _arithmetic(spec: Spec, axis: str, size: int) -> str:
    """Return the size expected along `axis`, with where it comes from."""
    spatial = spatial_names(spec.rank)
    if axis[0] == "o" and axis[1:] in spatial:
        number = spatial.index(axis[1:])
        return "1 (shared axis)" if size != spec.output_size[number] else output_arithmetic(spec, number)
    if axis == "cg" and spec.channel_table is None:
        return f"{size} = {spec.in_channels} in_channels / {spec.groups} groups"
    source = {"n": "batch of x", "ci": "in_channels", "co": "out_channels", "cg": "width of channel_table"}
    return f"{size} ({source.get(axis, 'kernel_size' if axis[0] == 'k' else 'input_size')})"


def promote(arrays: Iterable[Array]) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Return ``(accumulation, result)`` dtypes of the reference for these operands (SPEC 8.1).

    Integers accumulate in int64 and stay there, floats in float64 and complex numbers in complex128, rounded once to
    the operands' common dtype; Python integers (dtype object) are computed exactly.
    """
    common = np.result_type(*arrays)
    wide = np.dtype(_WIDE.get(common.kind, object))
    return wide, wide if wide.kind in "iO" else common
