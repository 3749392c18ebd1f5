"""Shared by the NumPy adapters: a module with `forward`, `vjp` and `transpose` as a prepared layer."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec

HALVES = ("float16", "bfloat16")
DTYPES = (*HALVES, "float32", "float64", "complex64")


@dataclass(frozen=True)
class NumpyLayer:
    """A layer computed by the functions of `engine` (`lcl_ref.core.reference` or `lcl_ref.core.batched`).

    NumPy would keep sums of half types in half precision; they are kept in float32 here and rounded once.
    """

    engine: ModuleType
    spec: Spec
    weight: Any
    bias: Any

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return self._call("forward", x, self.weight, self.bias)

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        return self._call("vjp", x, self.weight, dy)

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``."""
        return self._call("transpose", y, self.weight)

    def _call(self, op: str, *operands: Any) -> Any:
        storage = operands[0].dtype
        wide = np.float32 if str(storage) in HALVES else storage
        function = getattr(self.engine, op)
        with np.errstate(invalid="ignore"):  # inf and NaN in the operands are legal
            results = function(self.spec, *(_cast(operand, wide) for operand in operands))
        if isinstance(results, tuple):
            return tuple(_cast(result, storage) for result in results)
        return _cast(results, storage)


def _cast(array: Any, dtype: Any) -> Any:
    """Return `array` in `dtype`, itself where it has it already; None stays None."""
    return array if array is None else array.astype(dtype, copy=False)
