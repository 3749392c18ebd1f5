"""Adaptive range: every position learns how far from the middle of its window it reads.

SPEC clause 14.2. A tap counts fully up to the radius of its position, not at all from one further on, and in proportion
between: ``gate = clip(radius + 1 - distance, 0, 1)``. The layer is the plain one with weights ``gate * weight``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec
from lcl_ref.extensions._namespace import namespace


def distances(spec: Spec) -> NDArray[np.float64]:
    """Return how far each tap is from the middle of the window, the largest over the axes, counted in taps.

    Parameters
    ----------
    spec : Spec
        The layer.

    Returns
    -------
    array of float64
        ``(k*)``.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import adaptive
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, bias="none")
    >>> adaptive.distances(spec)
    array([1., 0., 1.])
    """
    away = [np.abs(np.arange(size) - (size - 1) / 2) for size in spec.kernel_size]
    grid = np.meshgrid(*away, indexing="ij")
    return np.max(grid, axis=0) if grid else np.zeros(())


def gates(spec: Spec, radius: Any) -> Any:
    """Return the share of each tap, from 0 to 1; differentiable in the radius between the steps.

    Parameters
    ----------
    spec : Spec
        The layer.
    radius : array
        ``(o*)``, of NumPy, torch or JAX.

    Returns
    -------
    array
        ``(o*, k*)``, of the same framework and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import adaptive
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, bias="none")
    >>> adaptive.gates(spec, np.array([0.25, 1.0]))
    array([[0.25, 1.  , 0.25],
           [1.  , 1.  , 1.  ]])
    """
    away = namespace(radius).asarray(distances(spec), dtype=radius.dtype)
    opened = radius.reshape(*radius.shape, *(1,) * spec.rank) + 1 - away
    return namespace(radius).clip(opened, 0, 1)


def weight(spec: Spec, full: Any, radius: Any) -> Any:
    """Return the weight of the plain layer, with none shared.

    Parameters
    ----------
    spec : Spec
        The layer.
    full : array
        ``(o*, k*, cg, co)``, of NumPy, torch or JAX: the weight before the gates.
    radius : array
        ``(o*)``, of the same framework.

    Returns
    -------
    array
        ``(o*, k*, cg, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import adaptive
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, bias="none")
    >>> full = np.full(spec.weight_shape, 2.0)
    >>> adaptive.weight(spec, full, np.array([0.25, 1.0]))[..., 0, 0]
    array([[0.5, 2. , 0.5],
           [2. , 2. , 2. ]])
    """
    return full * gates(spec, radius)[..., None, None]


def radius_gradient(spec: Spec, full: Array, radius: Array, dw: Array) -> Array:
    """Return the gradient of the radius, given that of the gated weight: taps on the slope contribute.

    Parameters
    ----------
    spec : Spec
        The layer.
    full : array
        ``(o*, k*, cg, co)``: the weight before the gates.
    radius : array
        ``(o*)``.
    dw : array
        ``(o*, k*, cg, co)``: gradient of what `weight` returns.

    Returns
    -------
    array
        ``(o*)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import adaptive
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, bias="none")
    >>> full, dw = np.full(spec.weight_shape, 2.0), np.ones(spec.weight_shape)
    >>> adaptive.radius_gradient(spec, full, np.array([0.25, 1.0]), dw)
    array([4., 0.])
    """
    opened = radius.reshape(*radius.shape, *(1,) * spec.rank) + 1 - distances(spec)
    slope = ((opened > 0) & (opened < 1))[..., None, None]
    total: Array = np.sum(full * dw * slope, axis=tuple(range(spec.rank, full.ndim)))
    return total


def full_radius(spec: Spec) -> float:
    """Return the radius from which on nothing is cut off. A radius of -1 reads nothing.

    Parameters
    ----------
    spec : Spec
        The layer.

    Returns
    -------
    float
        The largest of `distances`.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import adaptive
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, bias="none")
    >>> adaptive.full_radius(spec)
    1.0
    """
    return float(distances(spec).max())
