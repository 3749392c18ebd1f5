"""The transposed locally connected layer: from positions back to sites, with a bias per site.

SPEC clause 14.6. ``z[n, i, c] = b[i, c] + transpose(y)[n, i, c]``: every position adds its weights, times its numbers,
to the sites of its window. With all axes shared it is the transposed convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lcl_ref import api
from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, Violation
from lcl_ref.extensions._namespace import transpose


def forward(spec: Spec, y: Any, weight: Any, bias: Any = None) -> Any:
    """Apply the transpose of a layer, with a bias of its own.

    Parameters
    ----------
    spec : Spec
        The layer this one is the transpose of; its own bias is left out.
    y : array
        ``(n, o*, co)``, of NumPy, torch or JAX, as all others.
    weight : array
        ``(o*, k*, cg, co)``.
    bias : array or None
        ``(i*, ci)`` or ``(ci,)``.

    Returns
    -------
    array
        ``z (n, i*, ci)``, dtype as of `lcl_ref.forward`.

    Raises
    ------
    ShapeError
        If an array does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import transposed
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2)
    >>> y, weight, bias = np.array([[[1], [10]]]), np.ones(spec.weight_shape, int), np.array([100])
    >>> transposed.forward(spec, y, weight, bias)[0, :, 0]
    array([101, 111, 110])
    """
    z = transpose(spec, y, weight)
    if bias is None:
        return z
    allowed = (spec.x_shape(1)[1:], (spec.in_channels,))
    if tuple(bias.shape) not in allowed:
        raise ShapeError(Violation("bias/axes", "bias", str(tuple(bias.shape)), f"{allowed[0]} or {allowed[1]}"))
    return z + bias


def vjp(spec: Spec, y: Array, weight: Array, bias: Array | None, dz: Array) -> tuple[Array, Array, Array | None]:
    """Return the gradients of y, weight and bias, given the cotangent of z: y and x change their parts.

    Parameters
    ----------
    spec, y, weight, bias
        As of `forward`.
    dz : array
        ``(n, i*, ci)``.

    Returns
    -------
    tuple of array
        ``dy (n, o*, co)``, ``dw (o*, k*, cg, co)``, and ``db`` shaped like the bias, or None without one.

    Raises
    ------
    ShapeError
        If an array does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import transposed
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2)
    >>> y, weight, bias = np.array([[[1], [10]]]), np.ones(spec.weight_shape, int), np.array([100])
    >>> dy, dw, db = transposed.vjp(spec, y, weight, bias, np.array([[[1], [2], [3]]]))
    >>> dy[0, :, 0], db
    (array([3, 5]), array([6]))
    """
    plain = Spec.from_dict(spec.to_dict() | {"bias": "none"})
    dy = api.forward(plain, dz, weight)
    _, dw, _ = api.vjp(plain, dz, weight, None, y)
    if bias is None:
        return dy, dw, None
    summed = dz.sum(0)
    return dy, dw, summed if bias.ndim > 1 or spec.rank == 0 else np.sum(summed, tuple(range(spec.rank)))
