"""Pruned connections: only the weights that are kept are stored, and only the inputs they read are gathered.

SPEC clause 14.1. The same function as the layer with zeros for the weights left out, with one difference: what is not
connected is never multiplied, so that an infinity or NaN does not leak through a weight of zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.checks import Array
from lcl_ref.core.geometry import connections, weight_position
from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, Violation
from lcl_ref.extensions._namespace import namespace

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Table:
    """The connections that are kept.

    Parameters
    ----------
    spec : Spec
        The layer before pruning.
    sources : array
        ``(outputs, kept)``: flat index into one sample of x, for each output in C order of ``(o*, co)``. Rows are
        filled up with one past the last index, which stands for an input that is 0.
    weights : array
        ``(outputs, kept)``: flat index into the canonical weight, filled up with one past the last.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import pruned
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> mask = np.array([True, False, True, True]).reshape(spec.weight_shape)
    >>> table = pruned.keep(spec, mask)
    >>> table.sources
    array([[0, 3],
           [1, 2]])
    >>> table.weights
    array([[0, 4],
           [2, 3]])
    """

    spec: Spec
    sources: Indices
    weights: Indices

    @property
    def stored(self) -> int:
        """Numbers stored, fillers included."""
        return self.sources.size


def keep(spec: Spec, mask: Array) -> Table:
    """Return the table of the connections where `mask` is true and whose tap lies inside the input.

    Parameters
    ----------
    spec : Spec
        The layer.
    mask : array of bool
        ``(o*, k*, cg, co)``, with 1 along shared axes.

    Returns
    -------
    Table
        What `pack` and `forward` take.

    Raises
    ------
    ShapeError
        If the mask has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import pruned
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> mask = np.array([True, False, True, True]).reshape(spec.weight_shape)
    >>> pruned.keep(spec, mask).stored
    4
    """
    if mask.shape != spec.weight_shape:
        raise ShapeError(Violation("mask/shape", "mask", str(mask.shape), f"the weight's {spec.weight_shape}"))
    rows: list[list[tuple[int, int]]] = [[] for _ in range(math.prod(spec.y_shape(1)))]
    for position, tap, site in connections(spec):
        here = (*weight_position(spec, position), *tap)
        for f, c in np.argwhere(mask[here].T):
            output = np.ravel_multi_index((*position, f), spec.y_shape(1)[1:])
            source = np.ravel_multi_index((*site, spec.channels[f, c]), spec.x_shape(1)[1:])
            rows[output].append((int(source), int(np.ravel_multi_index((*here, c, f), spec.weight_shape))))
    filler = (math.prod(spec.x_shape(1)), math.prod(spec.weight_shape))
    width = max(map(len, rows))
    filled = np.array([row + [filler] * (width - len(row)) for row in rows], np.intp).reshape(len(rows), width, 2)
    return Table(spec, filled[..., 0], filled[..., 1])


def strongest(spec: Spec, weight: Array, kept: int) -> Array:
    """Return the mask of the weights of largest magnitude for each output.

    Parameters
    ----------
    spec : Spec
        The layer.
    weight : array
        ``(o*, k*, cg, co)``.
    kept : int
        Weights kept of each output; of equal ones the first.

    Returns
    -------
    array of bool
        ``(o*, k*, cg, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import pruned
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([1, 2, 3, 4]).reshape(spec.weight_shape)
    >>> pruned.strongest(spec, weight, kept=1)[..., 0, 0]
    array([[False,  True],
           [False,  True]])
    """
    flat = np.abs(weight).reshape(*spec.weight_size, spec.fan_in, spec.out_channels)
    ranks = np.argsort(np.argsort(-flat, axis=-2, kind="stable"), axis=-2)
    mask: Array = (ranks < kept).reshape(spec.weight_shape)
    return mask


def pack(table: Table, weight: Any) -> Any:
    """Return the weights that are kept, fillers 0.

    Parameters
    ----------
    table : Table
        What is kept.
    weight : array
        ``(o*, k*, cg, co)``, of NumPy, torch or JAX.

    Returns
    -------
    array
        ``(outputs, kept)``, of the same framework.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import pruned
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([1, 2, 3, 4]).reshape(spec.weight_shape)
    >>> table = pruned.keep(spec, pruned.strongest(spec, weight, kept=1))
    >>> pruned.pack(table, weight)
    array([[2],
           [4]])
    """
    return _with_zero(weight.reshape(1, -1))[0][table.weights]


def forward(table: Table, x: Any, packed: Any, bias: Any = None) -> Any:
    """Return ``y[n, o, f] = b[o, f] + sum over kept connections of x * w``.

    Parameters
    ----------
    table : Table
        What is kept.
    x : array
        ``(n, i*, ci)``, of NumPy, torch or JAX.
    packed : array
        ``(outputs, kept)``, as `pack` returns.
    bias : array or None
        ``(o*, co)`` or ``(co,)``.

    Returns
    -------
    array
        ``(n, o*, co)``, of the same framework.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import pruned
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([1, 2, 3, 4]).reshape(spec.weight_shape)
    >>> table = pruned.keep(spec, pruned.strongest(spec, weight, kept=1))
    >>> pruned.forward(table, np.array([[[5], [6], [7]]]), pruned.pack(table, weight))[0, :, 0]
    array([12, 28])
    """
    seen = _with_zero(x.reshape(len(x), math.prod(table.spec.x_shape(1))))[:, table.sources]
    y = (seen * packed).sum(-1).reshape(table.spec.y_shape(len(x)))
    return y if bias is None else y + bias


def _with_zero(rows: Any) -> Any:
    """``(n, m) -> (n, m + 1)``: a zero behind every row, for fillers to read."""
    return namespace(rows).concatenate([rows, namespace(rows).zeros_like(rows[:, :1])], 1)
