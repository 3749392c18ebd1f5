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
    """Return the same layer on the extended input, without padding."""
    sizes = [size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True)]
    return Spec.from_dict(spec.to_dict() | {"input_size": sizes, "padding": [(0, 0)] * spec.rank})


def sites(spec: Spec, rule: str) -> list[Sites]:
    """Return per axis which site of the input stands at each site of the extended one.

    Raises
    ------
    SpecError
        If the rule is unknown, or the padding reaches further than it says.
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
    """``(n, i*, ci) -> (n, lo + i + hi ..., ci)``; arrays of NumPy, torch or JAX."""
    for axis, chosen in enumerate(sites(spec, rule)):
        x = x[(slice(None),) * (axis + 1) + (chosen,)]
    return x


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None, rule: str) -> Array:
    """Apply the layer with its padding filled by `rule`; arguments and result as in `lcl_ref.forward`."""
    return api.forward(unpadded(spec), extended(spec, x, rule), weight, bias)


def vjp(
    spec: Spec, x: Array, weight: Array, bias: Array | None, dy: Array, rule: str
) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dw, db)``: a cotangent beyond the edge is added to the element that stands there."""
    dx, dw, db = api.vjp(unpadded(spec), extended(spec, x, rule), weight, bias, dy)
    for axis, chosen in enumerate(sites(spec, rule)):
        moved = np.moveaxis(dx, axis + 1, 0)
        total = np.zeros((spec.input_size[axis], *moved.shape[1:]), dx.dtype)
        np.add.at(total, chosen, moved)
        dx = np.moveaxis(total, 0, axis + 1)
    return dx, dw, db
