"""Borders that are not zero: the input goes on beyond its edge by a rule.

SPEC clause 14.5. The padding of the layer says how far; the rule says which element stands there. The layer is the
plain one without padding on the extended input.

| rule | beyond ``a b c d`` on the left, on the right |
|---|---|
| ``circular`` | ``... c d`` and ``a b ...`` |
| ``reflect`` | ``... c b`` and ``c b ...``: the edge is not repeated |
| ``replicate`` | ``... a a`` and ``d d ...`` |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref import api
from lcl_ref.core.checks import Array
from lcl_ref.core.spec import Spec
from lcl_ref.errors import SpecError, Violation
from lcl_ref.extensions._namespace import layer

Sites = NDArray[np.intp]


def _reflected(sites: Sites, size: int) -> Sites:
    inside: Sites = (size - 1) - np.abs((size - 1) - np.abs(sites))
    return inside


RULES: dict[str, tuple[Callable[[Sites, int], Sites], Callable[[int], int]]] = {
    "circular": (lambda sites, size: sites % size, lambda size: size),
    "reflect": (_reflected, lambda size: size - 1),
    "replicate": (lambda sites, size: np.clip(sites, 0, size - 1), lambda _size: 2**62),
}
"""Name -> which site of the input stands at a site beyond it, and the largest padding for which that holds."""


def unpadded(spec: Spec) -> Spec:
    """Return the same layer on the extended input, without padding.

    Parameters
    ----------
    spec : Spec
        The layer.

    Returns
    -------
    Spec
        Its weight, bias and output have the shapes of the given one's.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import borders
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, padding=1, bias="none")
    >>> borders.unpadded(spec).input_size
    (6,)
    """
    sizes = [size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True)]
    return Spec.from_dict(spec.to_dict() | {"input_size": sizes, "padding": [(0, 0)] * spec.rank})


def sites(spec: Spec, rule: str) -> list[Sites]:
    """Return per axis which site of the input stands at each site of the extended one.

    Parameters
    ----------
    spec : Spec
        The layer.
    rule : {"circular", "reflect", "replicate"}
        Key of `RULES`.

    Returns
    -------
    list of array of intp
        Per spatial axis ``(lo + i + hi,)``.

    Raises
    ------
    SpecError
        If the rule is unknown, or the padding reaches further than it says.

    Examples
    --------
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import borders
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, padding=1, bias="none")
    >>> [borders.sites(spec, rule)[0].tolist() for rule in borders.RULES]
    [[3, 0, 1, 2, 3, 0], [1, 0, 1, 2, 3, 2], [0, 0, 1, 2, 3, 3]]
    """
    if rule not in RULES:
        raise SpecError(Violation("border/name", "rule", repr(rule), f"one of {', '.join(RULES)}"))
    place, most = RULES[rule]
    for axis, (size, pair) in enumerate(zip(spec.input_size, spec.padding, strict=True)):
        if max(pair) > most(size):
            expected = f"at most {most(size)} for {rule} of {size} elements"
            raise SpecError(Violation("border/padding", "padding", str(pair), expected, axis=str(axis)))
    axes = zip(spec.input_size, spec.padding, strict=True)
    return [place(np.arange(-lo, size + hi), size) for size, (lo, hi) in axes]


def extended(spec: Spec, x: Any, rule: str) -> Any:
    """Return the input gone on beyond its edge.

    Parameters
    ----------
    spec : Spec
        The layer.
    x : array
        ``(n, i*, ci)``, of NumPy, torch or JAX.
    rule : {"circular", "reflect", "replicate"}
        Key of `RULES`.

    Returns
    -------
    array
        ``(n, lo + i + hi ..., ci)``, of the same framework.

    Raises
    ------
    SpecError
        As of `sites`.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import borders
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, padding=1, bias="none")
    >>> borders.extended(spec, np.arange(4).reshape(1, 4, 1), "circular")[0, :, 0]
    array([3, 0, 1, 2, 3, 0])
    """
    for axis, chosen in enumerate(sites(spec, rule)):
        x = x[(slice(None),) * (axis + 1) + (chosen,)]
    return x


def forward(spec: Spec, x: Any, weight: Any, bias: Any, rule: str) -> Any:
    """Apply the layer with its padding filled by `rule`.

    Parameters
    ----------
    spec : Spec
        The layer.
    x : array
        ``(n, i*, ci)``, of NumPy, torch or JAX, as all others.
    weight : array
        ``(o*, k*, cg, co)``, with 1 along shared axes.
    bias : array or None
        ``(o*, co)`` or ``(co,)``.
    rule : {"circular", "reflect", "replicate"}
        Key of `RULES`.

    Returns
    -------
    array
        ``(n, o*, co)``, dtype as of `lcl_ref.forward`.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`.
    SpecError
        As of `sites`.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import borders
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, padding=1, bias="none")
    >>> x, weight = np.arange(4).reshape(1, 4, 1), np.ones(spec.weight_shape, int)
    >>> borders.forward(spec, x, weight, None, "circular")[0, :, 0]
    array([4, 3, 6, 5])
    """
    return layer(unpadded(spec), extended(spec, x, rule), weight, bias)


def vjp(
    spec: Spec, x: Array, weight: Array, bias: Array | None, dy: Array, rule: str
) -> tuple[Array, Array, Array | None]:
    """Return the gradients of x, weight and bias: what lies beyond the edge is added to the element that stands there.

    Parameters
    ----------
    spec, x, weight, bias, rule
        As of `forward`.
    dy : array
        ``(n, o*, co)``.

    Returns
    -------
    tuple of array
        ``dx (n, i*, ci)``, ``dw (o*, k*, cg, co)``, and ``db`` shaped like the bias, or None without one.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`.
    SpecError
        As of `sites`.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import borders
    >>> spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, padding=1, bias="none")
    >>> x, weight = np.arange(4).reshape(1, 4, 1), np.ones(spec.weight_shape, int)
    >>> dx, dw, db = borders.vjp(spec, x, weight, None, np.ones((1, 4, 1), int), "circular")
    >>> dx[0, :, 0]
    array([3, 3, 3, 3])
    """
    dx, dw, db = api.vjp(unpadded(spec), extended(spec, x, rule), weight, bias, dy)
    for axis, chosen in enumerate(sites(spec, rule)):
        moved = np.moveaxis(dx, axis + 1, 0)
        total = np.zeros((spec.input_size[axis], *moved.shape[1:]), dx.dtype)
        np.add.at(total, chosen, moved)
        dx = np.moveaxis(total, 0, axis + 1)
    return dx, dw, db
