"""Adapters on NumPy: a module with `forward`, `vjp` and `transpose` as a prepared layer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from lcl_backends.support.prepared import PreparedLayer
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Declaration

declared = partial(Declaration, framework="numpy", modules=("numpy",), holds="tiles", vjp_computes_output=False)
"""Makes a `Declaration` of a route on NumPy."""

HALVES = ("float16", "bfloat16")
DTYPES = (*HALVES, "float32", "float64", "complex64")


class NumpyLayer(PreparedLayer):
    """A layer computed by the functions of `engine` (`lcl_ref.core.reference` or `lcl_ref.core.batched`).

    NumPy would keep sums of half types in half precision; they are kept in float32 here and rounded once.
    """

    def __init__(self, spec: Spec, engine: ModuleType | SimpleNamespace, weight: Any, bias: Any) -> None:
        self._engine, self._storage = engine, weight.dtype
        super().__init__(spec, lambda spec, x, weight, bias=None: engine.forward(spec, x, weight, bias), weight, bias)

    def to_native(self, array: Any) -> Any:
        """Widen half types."""
        return array.astype(np.float32 if str(array.dtype) in HALVES else array.dtype, copy=False)

    def to_numpy(self, tensor: Any) -> Any:
        """Round to the dtype that came in."""
        return tensor.astype(self._storage, copy=False)

    def gradients(self, operands: Sequence[Any], cotangent: Any, count: int) -> Sequence[Any]:
        """Call the engine's own `transpose` or `vjp`."""
        x, weight, *_ = operands
        if count == 1:
            return [self._engine.transpose(self.spec, cotangent, weight)]
        return [part for part in self._engine.vjp(self.spec, x, weight, cotangent) if part is not None]

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Let inf and NaN in the operands pass, which are legal."""
        return np.errstate(invalid="ignore")
