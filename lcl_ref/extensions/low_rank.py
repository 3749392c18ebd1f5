"""Between convolution and locally connected: every position mixes a few kernels that all positions share.

SPEC clause 14.3. ``w[o] = sum over r of mixing[o, r] * kernels[r]``. One kernel mixed with 1 is the convolution; as
many kernels as positions, each used by one, are the locally connected layer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lcl_ref.core import batched
from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec
from lcl_ref.extensions._namespace import namespace


def weight(spec: Spec, mixing: Any, kernels: Any) -> Any:
    """``(o*, r), (r, k*, cg, co) -> (o*, k*, cg, co)``: the weight of the plain layer, with none shared."""
    flat = kernels.reshape(len(kernels), math.prod(spec.weight_shape[spec.rank :]))
    return namespace(mixing).matmul(mixing, flat).reshape(*spec.output_size, *spec.weight_shape[spec.rank :])


def forward(spec: Spec, x: Array, mixing: Array, kernels: Array, bias: Array | None = None) -> Array:
    """Apply the layer as one convolution per kernel, mixed per position: the weight of `weight` is never built.

    Parameters
    ----------
    x : array
        ``(n, i*, ci)``.
    mixing : array
        ``(o*, r)``.
    kernels : array
        ``(r, k*, cg, co)``.
    bias : array or None
        ``(o*, co)`` or ``(co,)``.

    Returns
    -------
    array
        ``(n, o*, co)``.
    """
    shared = Spec.from_dict(spec.to_dict() | {"shared": True, "bias": "none"})
    parts = (batched.forward(shared, x, kernel.reshape(shared.weight_shape), None) for kernel in kernels)
    y: Array = sum((part * mixing[..., r, None] for r, part in enumerate(parts)), np.zeros(spec.y_shape(len(x))))
    return y if bias is None else y + bias


def cotangents(spec: Spec, mixing: Array, kernels: Array, dw: Array) -> tuple[Array, Array]:
    """Return the cotangents ``(o*, r)`` and ``(r, k*, cg, co)`` of mixing and kernels, given that of the weight."""
    count, size = len(kernels), math.prod(spec.weight_shape[spec.rank :])
    flat = dw.reshape(math.prod(spec.output_size), size)
    of_mixing = flat @ kernels.reshape(count, size).T
    of_kernels = mixing.reshape(-1, count).T @ flat
    return of_mixing.reshape(mixing.shape), of_kernels.reshape(kernels.shape)
