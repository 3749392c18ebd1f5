"""The `mlx.nn` modules to drop in (`lcl_ref.layers.mlx`), called as a model calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_backends.support.mlx import DTYPES, from_numpy, stream, to_numpy
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`LocallyConnected1d/2d/3d` and `BlockLinear` of `lcl_ref.layers.mlx` behind the adapter protocol."""

    declaration = Declaration(
        name="mlx.layer",
        framework="mlx",
        modules=("mlx.core", "mlx.nn"),
        summary="The mlx.nn modules to drop in, on the engine of mlx.fast.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=DTYPES),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> ModuleLayer:
        """Make the module of the spec's rank."""
        from lcl_ref.layers import mlx as layers

        kinds = (layers.BlockLinear, layers.LocallyConnected1d, layers.LocallyConnected2d, layers.LocallyConnected3d)
        with stream(dtype):
            return ModuleLayer(spec, dtype, kinds[spec.rank].from_canonical(spec, weight, bias))


@dataclass(frozen=True)
class ModuleLayer:
    """A module holding canonical weights, differentiated by `mlx.core.vjp`."""

    spec: Spec
    dtype: str
    module: Any

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        with stream(self.dtype):
            return to_numpy(self.module(from_numpy(x)))

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)``; db is None without bias."""
        held = self.module.parameters()

        def call(x: Any, *values: Any) -> Any:
            self.module.update(dict(zip(held, values, strict=True)))
            return self.module(x)

        dx, *rest = self._pull_back(call, [from_numpy(x), *held.values()], dy)
        self.module.update(held)
        gradients = dict(zip(held, rest, strict=True))
        return dx, gradients["weight"], gradients.get("bias")

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``, the cotangent of x: the layer is affine in x, so any x serves."""
        x = from_numpy(np.zeros(self.spec.x_shape(len(y)), y.dtype))
        return self._pull_back(self.module, [x], y)[0]

    def _pull_back(self, function: Callable[..., Any], primals: list[Any], dy: Any) -> list[Any]:
        import mlx.core as mx

        with stream(self.dtype):
            return [to_numpy(cotangent) for cotangent in mx.vjp(function, primals, [from_numpy(dy)])[1]]
