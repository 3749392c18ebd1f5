"""Checks of arrays against a `Spec`, and the dtype rule of the reference (SPEC clauses 3, 8, 10)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.axes import axis_names, spatial_names
from lcl_ref.errors import ShapeError, Violation
from lcl_ref.rules import output_arithmetic
from lcl_ref.spec import Spec

Array = NDArray[Any]

_WIDE = {"b": np.int64, "i": np.int64, "u": np.int64, "f": np.float64, "V": np.float64, "c": np.complex128}
"""Kind of an operand -> dtype the reference accumulates in ("V": the half types of ml_dtypes)."""


def check(
    spec: Spec, *, x: Any = None, y: Any = None, weight: Any = None, bias: Any = None, takes_bias: bool = False
) -> None:
    """Refuse arrays that do not fit `spec`, naming every axis at fault.

    Parameters
    ----------
    spec : Spec
        The layer.
    x : array, optional
        ``(n, i*, ci)``.
    y : array, optional
        An output or its cotangent, ``(n, o*, co)``; its batch must be that of `x` where both are given.
    weight : array, optional
        ``(o*, k*, cg, co)``, with 1 along shared position axes.
    bias : array, optional
        ``(o*, co)`` or ``(co,)``; must be None exactly where ``spec.bias == "none"``, if `takes_bias`.

    Raises
    ------
    ShapeError
        If a shape differs, a bias is missing or one too many, or an array is not numeric.
    """
    problems: list[Violation] = []
    batch = len(x) if x is not None and np.ndim(x) else None
    if x is not None:
        problems += _compare(spec, "x", x, spec.x_shape(np.shape(x)[0] if np.ndim(x) else 1))
    if y is not None:
        expected = batch if batch is not None else (np.shape(y)[0] if np.ndim(y) else 1)
        problems += _compare(spec, "y", y, spec.y_shape(expected))
    if weight is not None:
        problems += _compare(spec, "weight", weight, spec.weight_shape)
    if takes_bias:
        problems += _check_bias(spec, bias)
    if problems:
        raise ShapeError(problems)


def _check_bias(spec: Spec, bias: Any) -> list[Violation]:
    if (bias is None) != (spec.bias_shape is None):
        got = "None" if bias is None else f"an array of shape {np.shape(bias)}"
        expected = "None" if spec.bias_shape is None else f"an array of shape {spec.bias_shape}"
        return [Violation("bias/presence", "bias", got, f"{expected} (spec.bias is {spec.bias!r})")]
    if bias is None or spec.bias_shape is None:
        return []
    return _compare(spec, f"bias/{spec.bias}", bias, spec.bias_shape)


def _compare(spec: Spec, tensor: str, array: Any, expected: tuple[int, ...]) -> list[Violation]:
    name, names, shape = tensor.split("/", maxsplit=1)[0], axis_names(tensor, spec.rank), np.shape(array)
    if np.asarray(array).dtype.kind not in (*_WIDE, "O"):
        return [Violation(f"{name}/dtype", name, f"dtype {np.asarray(array).dtype}", "numbers")]
    if len(shape) != len(expected):
        got = f"{len(shape)} axes of shape {shape}"
        want = f"{len(expected)} axes ({', '.join(names)}) of shape {expected}"
        return [Violation(f"{name}/axes", name, got, want)]
    table = ", ".join(f"{axis}={size}" for axis, size in zip(names, shape, strict=True))
    return [
        Violation(f"{name}/{axis}", name, f"{got} elements ({table})", _arithmetic(spec, axis, want), axis)
        for axis, got, want in zip(names, shape, expected, strict=True)
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
