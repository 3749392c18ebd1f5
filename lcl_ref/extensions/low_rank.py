"""Between convolution and locally connected: every position mixes a few kernels that all positions share.

SPEC clause 14.3. ``w[o] = sum over r of mixing[o, r] * kernels[r]``. One kernel mixed with 1 is the convolution; as
many kernels as positions, each used by one, are the locally connected layer.
"""

from __future__ import annotations

import math
from typing import Any

from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec
from lcl_ref.extensions._namespace import layer, namespace


def weight(spec: Spec, mixing: Any, kernels: Any) -> Any:
    """Return the weight of the plain layer, with none shared.

    Parameters
    ----------
    spec : Spec
        The layer.
    mixing : array
        ``(o*, r)``, of NumPy, torch or JAX.
    kernels : array
        ``(r, k*, cg, co)``, of the same framework.

    Returns
    -------
    array
        ``(o*, k*, cg, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import low_rank
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> mixing, kernels = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
    >>> low_rank.weight(spec, mixing, kernels)[..., 0, 0]
    array([[1., 1.],
           [1., 3.]])
    """
    flat = kernels.reshape(len(kernels), math.prod(spec.weight_shape[spec.rank :]))
    return namespace(mixing).matmul(mixing, flat).reshape(*spec.output_size, *spec.weight_shape[spec.rank :])


def forward(spec: Spec, x: Any, mixing: Any, kernels: Any, bias: Any = None) -> Any:
    """Apply the layer as one convolution per kernel, mixed per position: the weight of `weight` is never built.

    Parameters
    ----------
    spec : Spec
        The layer.
    x : array
        ``(n, i*, ci)``, of NumPy, torch or JAX, as all others.
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

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import low_rank
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> mixing, kernels = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
    >>> low_rank.forward(spec, np.array([[[1.0], [2.0], [3.0]]]), mixing, kernels)[0, :, 0]
    array([ 3., 11.])
    """
    shared = Spec.from_dict(spec.to_dict() | {"shared": True, "bias": "none"})
    parts = (layer(shared, x, kernel.reshape(shared.weight_shape)) for kernel in kernels)
    y = sum(part * mixing[..., r, None] for r, part in enumerate(parts))
    return y if bias is None else y + bias


def gradients(spec: Spec, mixing: Array, kernels: Array, dw: Array) -> tuple[Array, Array]:
    """Return the gradients of mixing and kernels, given that of the weight.

    Parameters
    ----------
    spec : Spec
        The layer.
    mixing : array
        ``(o*, r)``.
    kernels : array
        ``(r, k*, cg, co)``.
    dw : array
        ``(o*, k*, cg, co)``: gradient of what `weight` returns.

    Returns
    -------
    tuple of array
        ``(o*, r)`` and ``(r, k*, cg, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import low_rank
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> mixing, kernels = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
    >>> of_mixing, of_kernels = low_rank.gradients(spec, mixing, kernels, np.ones(spec.weight_shape))
    >>> of_mixing
    array([[2., 1.],
           [2., 1.]])
    >>> of_kernels[..., 0, 0]
    array([[2., 2.],
           [2., 2.]])
    """
    count, size = len(kernels), math.prod(spec.weight_shape[spec.rank :])
    flat = dw.reshape(math.prod(spec.output_size), size)
    of_mixing = flat @ kernels.reshape(count, size).T
    of_kernels = mixing.reshape(-1, count).T @ flat
    return of_mixing.reshape(mixing.shape), of_kernels.reshape(kernels.shape)
