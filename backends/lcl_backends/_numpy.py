"""Shared by the NumPy adapters: a module with `forward`, `vjp` and `transpose` as a prepared layer."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lcl_ref.spec import Spec


@dataclass(frozen=True)
class NumpyLayer:
    """A layer computed by the functions of `engine` (`lcl_ref.reference` or `lcl_ref.fast`)."""

    engine: ModuleType
    spec: Spec
    weight: Any
    bias: Any

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return self.engine.forward(self.spec, x, self.weight, self.bias)

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        return self.engine.vjp(self.spec, x, self.weight, dy)

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``."""
        return self.engine.transpose(self.spec, y, self.weight)
