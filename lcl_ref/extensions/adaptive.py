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
    """``(k*)``: how far each tap is from the middle of the window, the largest over the axes, counted in taps."""
    away = [np.abs(np.arange(size) - (size - 1) / 2) for size in spec.kernel_size]
    grid = np.meshgrid(*away, indexing="ij")
    return np.max(grid, axis=0) if grid else np.zeros(())


def gates(spec: Spec, radius: Any) -> Any:
    """``(o*) -> (o*, k*)``: the share of each tap, from 0 to 1; differentiable in the radius between the steps."""
    away = namespace(radius).asarray(distances(spec), dtype=radius.dtype)
    opened = radius.reshape(*radius.shape, *(1,) * spec.rank) + 1 - away
    return namespace(radius).clip(opened, 0, 1)


def weight(spec: Spec, full: Any, radius: Any) -> Any:
    """``(o*, k*, cg, co), (o*) -> (o*, k*, cg, co)``: the weight of the plain layer, with none shared."""
    return full * gates(spec, radius)[..., None, None]


def radius_cotangent(spec: Spec, full: Array, radius: Array, dw: Array) -> Array:
    """Return the cotangent ``(o*)`` of the radius, given that of the gated weight: taps on the slope contribute."""
    opened = radius.reshape(*radius.shape, *(1,) * spec.rank) + 1 - distances(spec)
    slope = ((opened > 0) & (opened < 1))[..., None, None]
    total: Array = np.sum(full * dw * slope, axis=tuple(range(spec.rank, full.ndim)))
    return total


def full_radius(spec: Spec) -> float:
    """Return the radius from which on nothing is cut off; at 1 less than 0 nothing is read."""
    return float(distances(spec).max())
