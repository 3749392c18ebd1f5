"""The transposed locally connected layer: from positions back to sites, with a bias per site.

SPEC clause 14.6. ``z[n, i, c] = b[i, c] + transpose(y)[n, i, c]``: every position adds its weights, times its numbers,
to the sites of its window. With all axes shared it is the transposed convolution.
"""

from __future__ import annotations

import numpy as np

from lcl_ref import api
from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, Violation


def forward(spec: Spec, y: Array, weight: Array, bias: Array | None = None) -> Array:
    """``(n, o*, co) -> (n, i*, ci)``.

    Parameters
    ----------
    spec : Spec
        The layer this one is the transpose of; its own bias is left out.
    y : array
        ``(n, o*, co)``.
    weight : array
        ``(o*, k*, cg, co)``.
    bias : array or None
        ``(i*, ci)`` or ``(ci,)``.

    Raises
    ------
    ShapeError
        If an array does not fit.
    """
    z = api.transpose(spec, y, weight)
    if bias is None:
        return z
    allowed = (spec.x_shape(1)[1:], (spec.in_channels,))
    if bias.shape not in allowed:
        raise ShapeError(Violation("bias/axes", "bias", str(bias.shape), f"{allowed[0]} or {allowed[1]}"))
    shifted: Array = z + bias
    return shifted


def vjp(spec: Spec, y: Array, weight: Array, bias: Array | None, dz: Array) -> tuple[Array, Array, Array | None]:
    """Return the cotangents of y, weight and bias for that of z, ``(n, i*, ci)``: y and x change their parts."""
    plain = Spec.from_dict(spec.to_dict() | {"bias": "none"})
    dy = api.forward(plain, dz, weight)
    _, dw, _ = api.vjp(plain, dz, weight, None, y)
    if bias is None:
        return dy, dw, None
    summed = dz.sum(0)
    return dy, dw, summed if bias.ndim > 1 or spec.rank == 0 else np.sum(summed, tuple(range(spec.rank)))
