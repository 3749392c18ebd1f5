"""Regions: positions that share one weight, by a map from position to region.

SPEC clause 14.10. Weights are stored once per region, ``w[o] = kernels[regions[o]]``. The argument `regions` is the
map, whole numbers ``(o*)``, or a count per axis, which `grid` cuts evenly, as networks for faces do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcl_ref import api
from lcl_ref.core.checks import Array, promote
from lcl_ref.core.spec import Size, Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.extensions import _region_rules
from lcl_ref.extensions._namespace import layer

Map = NDArray[np.intp]


def grid(spec: Spec, counts: Size) -> Map:
    """Return the map of regions that cut each axis evenly: position o of O lies in part ``o * count // O``.

    Parameters
    ----------
    spec : Spec
        The layer.
    counts : int or sequence of int
        Regions along each axis, from 1 to its positions.

    Returns
    -------
    array of int
        ``(o*)``: the region of each position, numbered in C order.

    Raises
    ------
    SpecError
        If an axis has fewer positions than regions, or a weight is shared already.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> spec = lcl.Spec(input_size=(6, 4), in_channels=1, out_channels=1, kernel_size=2)
    >>> regions.grid(spec, (2, 1))[:, 0], regions.grid(spec, 3)[-1]
    (array([0, 0, 0, 1, 1]), array([6, 7, 8]))
    """
    whole = (counts,) * spec.rank if isinstance(counts, int) else tuple(counts)
    _region_rules.check_counts(spec, whole)
    parts = [np.arange(size) * count // size for size, count in zip(spec.output_size, whole, strict=True)]
    numbers = np.ravel_multi_index(np.meshgrid(*parts, indexing="ij"), whole) if parts else 0
    return np.asarray(numbers, np.intp)


def as_map(spec: Spec, regions: ArrayLike) -> Map:
    """Return the map, checked; counts per axis become the `grid` of them.

    Parameters
    ----------
    spec : Spec
        The layer.
    regions : array_like of int
        ``(o*)``: the region of each position, every number from 0 on at least once; or counts, as `grid` takes them.

    Returns
    -------
    array of int
        ``(o*)``.

    Raises
    ------
    SpecError
        If a number is missing, or the map is not one of the positions; the error lists all that is wrong.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2)
    >>> regions.as_map(spec, 2), regions.as_map(spec, [1, 0, 1])
    (array([0, 0, 1]), array([1, 0, 1]))
    >>> try:
    ...     regions.as_map(spec, [0, 2, 2, 0])
    ... except lcl.SpecError as error:
    ...     print(error.got, "|", error.expected)
    4 numbers | one per position, 3 = floor((4 + 0 + 0 - 1*(2 - 1) - 1) / 1) + 1
    """
    given = _region_rules.whole_numbers(spec, regions)
    if given.ndim == 0 or (given.shape == (spec.rank,) and given.min() >= 1):  # a map has a region 0
        return grid(spec, given.tolist())
    _region_rules.check_map(spec, given)
    return given.astype(np.intp)


def shapes(spec: Spec, regions: ArrayLike) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what is stored: the kernels, and the bias where there is one.

    Parameters
    ----------
    spec : Spec
        The layer.
    regions : array_like of int
        As of `as_map`.

    Returns
    -------
    dict of str to tuple of int
        ``kernels (regions, k*, cg, co)`` and ``bias (regions, co)`` or ``(co,)``.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> spec = lcl.Spec(input_size=(9, 9), in_channels=3, out_channels=8, kernel_size=2)
    >>> regions.shapes(spec, 4)
    {'kernels': (16, 2, 2, 3, 8), 'bias': (16, 8)}
    """
    count = int(as_map(spec, regions).max()) + 1
    found = {"kernels": (count, *spec.weight_shape[spec.rank :])}
    if spec.bias != "none":
        found["bias"] = (count, spec.out_channels) if spec.bias == "position" else (spec.out_channels,)
    return found


def expand(spec: Spec, regions: ArrayLike, kernels: Any, bias: Any = None) -> tuple[Any, Any]:
    """Return weight and bias of the plain layer, with none shared; differentiable in both.

    Parameters
    ----------
    spec : Spec
        The layer.
    regions : array_like of int
        As of `as_map`.
    kernels : array
        ``(regions, k*, cg, co)``, of NumPy, torch or JAX.
    bias : array or None
        ``(regions, co)``, ``(co,)`` or None, as ``spec.bias`` says.

    Returns
    -------
    tuple of array
        ``(o*, k*, cg, co)``, and ``(o*, co)``, ``(co,)`` or None, of the same framework.

    Raises
    ------
    SpecError, ShapeError
        If the map or an array does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2)
    >>> weight, bias = regions.expand(spec, 2, np.array([1, 2, 3, 4]).reshape(2, 2, 1, 1), np.array([[5], [6]]))
    >>> weight[..., 0, 0], bias[:, 0]
    (array([[1, 2],
           [1, 2],
           [3, 4]]), array([5, 5, 6]))
    """
    where = as_map(spec, regions)
    _region_rules.check_shapes(shapes(spec, where), {"kernels": kernels} | ({} if bias is None else {"bias": bias}))
    return kernels[where], bias[where] if spec.bias == "position" else bias


def forward(spec: Spec, regions: ArrayLike, x: Any, kernels: Any, bias: Any = None) -> Any:
    """Apply the layer, by the weight of the plain one; differentiable in x, kernels and bias.

    Parameters
    ----------
    spec : Spec
        The layer.
    regions : array_like of int
        As of `as_map`.
    x : array
        ``(n, i*, ci)``, of NumPy, torch or JAX.
    kernels : array
        ``(regions, k*, cg, co)``, of the same framework.
    bias : array or None
        ``(regions, co)``, ``(co,)`` or None, as ``spec.bias`` says.

    Returns
    -------
    array
        ``(n, o*, co)``, of the same framework.

    Raises
    ------
    SpecError, ShapeError
        If the map or an array does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> x, kernels = np.array([[[1], [10], [100], [1000]]]), np.array([1, 2, 3, 4]).reshape(2, 2, 1, 1)
    >>> regions.forward(spec, 2, x, kernels)[0, :, 0]
    array([  21,  210, 4300])
    """
    where = as_map(spec, regions)
    return layer(spec, x, *expand(spec, where, kernels, bias))


def vjp(
    spec: Spec, regions: ArrayLike, x: Array, kernels: Array, bias: Array | None, dy: Array
) -> tuple[Array, Array, Array | None]:
    """Return the gradients of x, kernels and bias: those of the positions of a region are summed.

    Parameters
    ----------
    spec, regions, x, kernels, bias, dy
        As of `forward`, arrays of NumPy; `dy` is ``(n, o*, co)``.

    Returns
    -------
    tuple of array
        ``dx (n, i*, ci)``, ``dkernels (regions, k*, cg, co)``, and ``db`` shaped like the bias, or None without one;
        summed wide and rounded once, dtype as of `lcl_ref.vjp`.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> x, kernels = np.array([[[1], [10], [100], [1000]]]), np.array([1, 2, 3, 4]).reshape(2, 2, 1, 1)
    >>> dx, dkernels, db = regions.vjp(spec, 2, x, kernels, None, np.ones((1, 3, 1), int))
    >>> dkernels[..., 0, 0]
    array([[  11,  110],
           [ 100, 1000]])
    """
    where = as_map(spec, regions)
    wide, result = promote([np.asarray(x), np.asarray(kernels), np.asarray(dy)])
    plain = expand(spec, where, np.asarray(kernels, wide), bias)
    dx, dw, db = api.vjp(spec, np.asarray(x, wide), *plain, np.asarray(dy, wide))
    dkernels = _summed(where, dw).astype(result, copy=False)
    db = _summed(where, db) if db is not None and spec.bias == "position" else db
    return dx.astype(result, copy=False), dkernels, None if db is None else db.astype(result, copy=False)


def _summed(where: Map, of_positions: Array) -> Array:
    total = np.zeros((int(where.max()) + 1, *of_positions.shape[where.ndim :]), of_positions.dtype)
    np.add.at(total, where, of_positions)
    return total


def collapse(where: Map, array: Array, what: str = "weight") -> Array:
    """Return an array of positions stored once per region: the inverse of ``stored[where]``.

    Parameters
    ----------
    where : array of int
        ``(o*)``, as `as_map` returns.
    array : array
        ``(o*, ...)``: a weight or a bias of the plain layer.
    what : str
        Its name, for messages.

    Returns
    -------
    array
        ``(regions, ...)``, in memory of its own; bits are kept.

    Raises
    ------
    LayoutError
        If it differs, in any bit, between two positions of a region; the error names the first that does.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import regions
    >>> regions.collapse(np.array([0, 0, 1]), np.array([5, 5, 7]))
    array([5, 7])
    >>> try:
    ...     regions.collapse(np.array([0, 1, 0]), np.array([5, 5, 7]))
    ... except lcl.LayoutError as error:
    ...     print(error.got)
    a weight that differs between positions (0,) and (2,) of region 0
    """
    rows = np.ascontiguousarray(array).reshape(where.size, *array.shape[where.ndim :])
    _, first = np.unique(where, return_index=True)
    bits = rows.reshape(where.size, -1).view(np.uint8)
    differ = (bits != bits[first[where.reshape(-1)]]).any(1)
    if differ.any():
        at = int(differ.argmax())
        region = int(where.reshape(-1)[at])
        one, other = (tuple(map(int, np.unravel_index(place, where.shape))) for place in (first[region], at))
        got = f"a {what} that differs between positions {one} and {other} of region {region}"
        todo = "it needs smaller regions, or a layout that stores every position"
        raise LayoutError(Violation("regions/constant", what, got, "the same bits throughout a region", todo=todo))
    stored: Array = rows[first]
    return stored
