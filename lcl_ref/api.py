"""The three operations of the layer on any arrays NumPy understands: checked, promoted, computed, rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lcl_ref.core import batched, checks, reference
from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec


def forward(spec: Spec, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """Apply the layer.

    Parameters
    ----------
    spec : Spec
        The layer.
    x : array_like
        ``(n, i*, ci)``; a batch of 0 is legal.
    weight : array_like
        ``(o*, k*, cg, co)``, 1 along shared position axes.
    bias : array_like or None
        ``(o*, co)``, ``(co,)``, or None where ``spec.bias == "none"``.

    Returns
    -------
    array
        ``(n, o*, co)``. Floats are accumulated in float64 and rounded once to the operands' common dtype; integers give
        int64; Python integers (dtype object) are exact.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`; the error names the axis.

    Notes
    -----
    SPEC clauses 1 to 8; formula in `lcl_ref.core.reference.forward`.

    Examples
    --------
    Two windows of two elements, each with a weight of its own:

    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, stride=2, bias="none")
    >>> x = [[[1], [2], [3], [4]]]
    >>> weight = [[[[1]], [[10]]], [[[100]], [[1000]]]]
    >>> lcl.forward(spec, x, weight)
    array([[[  21],
            [4300]]])
    """
    checks.check(spec, x=x, weight=weight, bias=bias)
    operands = [np.asarray(x), np.asarray(weight)] + ([] if bias is None else [np.asarray(bias)])
    wide, result = checks.promote(operands)
    converted = [operand.astype(wide) for operand in operands]
    y: Array = _engine(wide).forward(spec, converted[0], converted[1], converted[2] if bias is not None else None)
    return y.astype(result, copy=False)


def transpose(spec: Spec, y: ArrayLike, weight: ArrayLike) -> Array:
    """Apply the adjoint of the layer in x (the transposed locally connected layer; SPEC clause 9.4).

    Parameters
    ----------
    spec : Spec
        The layer; its bias has no part.
    y : array_like
        ``(n, o*, co)``.
    weight : array_like
        ``(o*, k*, cg, co)``.

    Returns
    -------
    array
        ``(n, i*, ci)``, dtype as in `forward`.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, stride=2, bias="none")
    >>> weight = [[[[1]], [[10]]], [[[100]], [[1000]]]]
    >>> lcl.transpose(spec, [[[1], [2]]], weight)
    array([[[   1],
            [  10],
            [ 200],
            [2000]]])
    """
    checks.check(spec, y=y, weight=weight)
    operands = [np.asarray(y), np.asarray(weight)]
    wide, result = checks.promote(operands)
    xt: Array = _engine(wide).transpose(spec, *(operand.astype(wide) for operand in operands))
    return xt.astype(result, copy=False)


def vjp(
    spec: Spec, x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, dy: ArrayLike
) -> tuple[Array, Array, Array | None]:
    """Return the gradients of x, weight and bias, given the cotangent `dy` of the output (SPEC clause 9).

    Parameters
    ----------
    spec : Spec
        The layer.
    x, weight, bias : array_like
        As in `forward`.
    dy : array_like
        ``(n, o*, co)``.

    Returns
    -------
    tuple of array
        ``dx (n, i*, ci)``, ``dw (o*, k*, cg, co)``, and ``db`` shaped like the bias, or None without one; dtype as in
        `forward`.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`, or the batches of x and dy differ.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, stride=2, bias="channel")
    >>> x, dy = [[[1], [2], [3], [4]]], [[[1], [2]]]
    >>> weight = [[[[1]], [[10]]], [[[100]], [[1000]]]]
    >>> dx, dw, db = lcl.vjp(spec, x, weight, [0], dy)
    >>> dx[0, :, 0], dw[..., 0, 0], db
    (array([   1,   10,  200, 2000]), array([[1, 2],
           [6, 8]]), array([3]))
    """
    checks.check(spec, x=x, dy=dy, weight=weight, bias=bias)
    operands = [np.asarray(x), np.asarray(weight), np.asarray(dy)]
    wide, result = checks.promote(operands)
    dx, dw, db = _engine(wide).vjp(spec, *(operand.astype(wide) for operand in operands))
    narrowed = None if db is None else db.astype(result, copy=False)
    return dx.astype(result, copy=False), dw.astype(result, copy=False), narrowed


def _engine(dtype: np.dtype[Any]) -> Any:
    """Return the module for `dtype`: matrix products for inexact numbers, the readable loops for exact ones."""
    return batched if dtype.kind in "fc" else reference
