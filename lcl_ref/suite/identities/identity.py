"""What a law is, and how it is verified: two systems, a map between their tensors, and what must then be equal.

On small integers every right answer has the same bits. On reals both sides are sums of the same terms, each within its
proved limit of the exact sum (SPEC clause 12.2), so that they differ by at most twice that limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS, Adapter
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import values
from lcl_ref.suite.identities.maps import Maps, pulled_back
from lcl_ref.suite.judge import bounds
from lcl_ref.suite.run.registered import named
from lcl_ref.suite.to_numpy import to_numpy

Array = NDArray[Any]
Arrays = dict[str, Array]

BATCH = 3
AMPLITUDE = 3


@dataclass(frozen=True, kw_only=True)
class Law:
    """Two systems that compute the same.

    Parameters
    ----------
    id : str
        ``<topic>/<name>``.
    says : str
        The law in words.
    left, right : str
        Registered names of the systems.
    spec : Spec
        The layer of the left system.
    right_spec : Spec
        The layer of the right system.
    maps : Maps
        From the tensors of the left system to those of the right one.
    """

    id: str
    says: str
    left: str
    right: str
    spec: Spec
    right_spec: Spec
    maps: Maps


@dataclass(frozen=True)
class IdentityResult:
    """What was measured: per result the largest difference, and on reals its largest share of what is allowed."""

    law: Law
    dtype: str
    values: str
    differences: Mapping[str, float]
    share: float

    @property
    def ok(self) -> bool:
        """Whether both sides are equal, as far as the values can tell."""
        return self.share <= 1


@cache
def system(name: str) -> Adapter:
    """Return the registered adapter of that name."""
    return named(name).load()()


def operations(law: Law) -> list[str]:
    """Return the operations that both systems have."""
    sides = [system(name).declaration.capabilities.ops for name in (law.left, law.right)]
    return [op for op in ("forward", "vjp") if all(op in ops for ops in sides)]


def operands(law: Law, dtype: str, kind: str) -> Arrays:
    """Return x, weight, bias and dy of the left system, whole numbers or reals of all magnitudes."""
    key, scale = f"law/{law.id}", values.real_scale(dtype)
    drawn: Arrays = {}
    for name, shape in law.spec.operand_shapes(BATCH).items():
        if kind == "integers":
            drawn[name] = values.integers(key, name, shape, AMPLITUDE).astype(dtype)
        else:
            whole = values.significands(key, f"{dtype}/{name}", shape, dtype)
            drawn[name] = (whole / 2**scale).astype(dtype)
    return drawn


def verify(law: Law, dtype: str, kind: str) -> IdentityResult:
    """Compute both sides in `dtype`, on ``"integers"`` or ``"reals"``, and compare."""
    given = operands(law, dtype, kind)
    ops = operations(law)
    left = _results(law.left, law.spec, given, dtype, ops)
    moved = _moved(law, given)
    right = _back(law, given, _results(law.right, law.right_spec, moved, dtype, ops))
    left["y"] = law.maps.y(law.spec, law.right_spec, left["y"])
    gaps = {name: np.abs(left[name].astype(np.float64) - right[name]) for name in left}
    differences = {name: float(gap.max(initial=0)) for name, gap in gaps.items()}
    if kind == "integers":
        return IdentityResult(law, dtype, kind, differences, np.inf if any(differences.values()) else 0.0)
    return IdentityResult(law, dtype, kind, differences, _share(law, given, dtype, left, gaps))


def _moved(law: Law, given: Arrays) -> Arrays:
    moves = {"x": law.maps.x, "weight": law.maps.weight, "bias": law.maps.bias, "dy": law.maps.y}
    return {name: np.ascontiguousarray(moves[name](law.spec, law.right_spec, array)) for name, array in given.items()}


def _results(name: str, spec: Spec, given: Arrays, dtype: str, ops: list[str]) -> Arrays:
    layer = system(name).prepare(spec, given["weight"], given.get("bias"), dtype)
    found = {"y": to_numpy(layer.forward(given["x"]))}
    if "vjp" in ops:
        parts = zip(OPERATIONS["vjp"].results, layer.vjp(given["x"], given["dy"]), strict=True)
        found |= {part: to_numpy(array) for part, array in parts if array is not None}
    return found


def _back(law: Law, given: Arrays, found: Arrays) -> Arrays:
    """Take the gradients of the right system back to the tensors of the left one."""
    sources = {"dx": (law.maps.x, "x"), "dw": (law.maps.weight, "weight"), "db": (law.maps.bias, "bias")}
    back = {"y": found["y"].astype(np.float64)}
    for name, (move, source) in sources.items():
        if name in found:
            back[name] = pulled_back(move, law.spec, law.right_spec, given[source].shape, found[name])
    return back


def _share(law: Law, given: Arrays, dtype: str, left: Arrays, gaps: Arrays) -> float:
    """Return the largest difference as a share of twice the limit of SPEC clause 12.2."""
    form = FORMATS[dtype]
    sizes = bounds.magnitudes(law.spec, given)
    shares = [0.0]
    for name, gap in gaps.items():
        size = sizes[name]
        if name == "y":
            size = bounds.Magnitude(*(law.maps.y(law.spec, law.right_spec, part) for part in (size.total, size.terms)))
        allowed = 2 * bounds.limit(size, left[name].astype(np.float64), form, form)
        shares.append(float(np.max(gap / allowed, initial=0)))
    return max(shares)
