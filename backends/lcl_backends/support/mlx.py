"""Shared by the MLX adapters: what every route does around its product, and the way in and out of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.mlx_operands import from_numpy, split_channels, tile, widened

__all__ = [
    "DTYPES",
    "TILE_LIMITS",
    "MlxLayer",
    "from_numpy",
    "kernel_blocks",
    "kernel_from_blocks",
    "layer",
    "multiply",
    "prepared",
    "stream",
    "tile",
    "to_numpy",
]

DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64")
"""MLX has these on the CPU."""


@dataclass(frozen=True)
class MlxLayer:
    """A layer of MLX arrays, differentiated by `mlx.core.vjp`.

    Parameters
    ----------
    spec : Spec
        The layer.
    dtype : str
        Of x, weight and bias.
    apply : callable
        ``(x, weight, bias or None) -> y``, with the weight in the route's own layout.
    weight, bias : mlx.core.array
        What `apply` takes; bias None where there is none.
    restore : callable
        Takes a cotangent of `weight`, as NumPy, back to ``(o*, k*, cg, co)``.
    """

    spec: Spec
    dtype: str
    apply: Callable[[Any, Any, Any], Any]
    weight: Any
    bias: Any
    restore: Callable[[Any], Any]

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        with stream(self.dtype):
            return to_numpy(self.apply(from_numpy(x), self.weight, self.bias))

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)``; db is None without bias."""
        primals = [from_numpy(x), self.weight] + ([] if self.bias is None else [self.bias])
        dx, dw, *db = self._pull_back(self._without_bias if self.bias is None else self.apply, primals, dy)
        return dx, self.restore(dw), db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``, the cotangent of x: the layer without bias is linear in x, so any x serves."""
        x = from_numpy(np.zeros(self.spec.x_shape(len(y)), y.dtype))
        return self._pull_back(lambda x: self._without_bias(x, self.weight), [x], y)[0]

    def _pull_back(self, function: Callable[..., Any], primals: list[Any], dy: Any) -> list[Any]:
        import mlx.core as mx

        with stream(self.dtype):
            return [to_numpy(cotangent) for cotangent in mx.vjp(function, primals, [from_numpy(dy)])[1]]

    def _without_bias(self, x: Any, weight: Any) -> Any:
        return self.apply(x, weight, None)


def layer(spec: Spec, dtype: str, product: Any, weight: Any, bias: Any, restore: Callable[[Any], Any]) -> MlxLayer:
    """Return the layer of a route: groups split, half types widened, bias added, rounded once.

    Parameters
    ----------
    spec : Spec
        The layer.
    dtype : str
        Of x, weight and bias.
    product : callable
        ``(spec, x (n, i*, g, cg), weight) -> y``, with n, o* and the channels of y in canonical order.
    weight, bias : numpy.ndarray
        The weight in the layout `product` takes; bias None where there is none.
    restore : callable
        As of `MlxLayer`.
    """

    def apply(x: Any, weight: Any, bias: Any) -> Any:
        wide = widened(x.dtype)
        y = product(spec, split_channels(spec, x.astype(wide)), weight.astype(wide)).reshape(spec.y_shape(len(x)))
        return (y if bias is None else y + bias.astype(wide)).astype(x.dtype)

    return prepared(spec, dtype, apply, weight, bias, restore)


def prepared(spec: Spec, dtype: str, apply: Any, weight: Any, bias: Any, restore: Callable[[Any], Any]) -> MlxLayer:
    """Return the layer for NumPy weight (in the layout of `apply`) and bias."""
    with stream(dtype):
        return MlxLayer(spec, dtype, apply, from_numpy(weight), None if bias is None else from_numpy(bias), restore)


def stream(dtype: str) -> Any:
    """Return the context to compute `dtype` in: float64 exists on the CPU only, the rest goes to the default device."""
    import mlx.core as mx

    return mx.stream(mx.cpu if dtype == "float64" else mx.default_device())


def to_numpy(array: Any) -> Any:
    """Return a NumPy array of the same dtype and memory; bfloat16 has no buffer format and goes through its bits."""
    import mlx.core as mx

    if array.dtype != mx.bfloat16:
        return np.asarray(array)
    import ml_dtypes

    return np.asarray(array.view(mx.uint16)).view(ml_dtypes.bfloat16)


TILE_LIMITS = {
    "stride": "a reshape makes windows only where they lie side by side and cover the input",
    "dilation": "a reshape makes windows of neighbouring elements only",
    "padding": "the windows cover the input, so there is nothing to pad",
    "empty_batch": "MLX leaves the sum over an empty array unset, so cotangents of a batch of 0 are arbitrary numbers",
}
"""Why a layer built on `tile` is limited as it is."""


def kernel_blocks(spec: Spec, weight: Any) -> Any:
    """``(o*, k*, cg, co) -> (o*, g, co/g, k* * cg)``: one matrix per position and group, a row per output channel."""
    split = weight.reshape(*spec.weight_size, spec.fan_in, groups(spec), -1)
    return np.moveaxis(split, spec.rank, -1)


def kernel_from_blocks(spec: Spec, blocks: Any) -> Any:
    """``(o*, g, co/g, k* * cg) -> (o*, k*, cg, co)``: the inverse of `kernel_blocks`."""
    return np.moveaxis(blocks, -1, spec.rank).reshape(spec.weight_shape)


def multiply(spec: Spec, windows: Any, blocks: Any) -> Any:
    """``(o*, g, n, k* * cg) @ (o*, g, co/g, k* * cg)^T -> (n, o*, g, co/g)``; size 1 along shared axes is broadcast."""
    rank = spec.rank
    y = windows @ blocks.swapaxes(-1, -2)  # (o*, g, n, co/g)
    return y.transpose(rank + 1, *range(rank), rank, rank + 2)
