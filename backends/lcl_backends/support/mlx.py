"""Adapters on MLX: what every route does around its product, and the way in and out of NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from lcl_backends.support.transforms.mlx import MlxTransforms
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.mlx_operands import from_numpy, split_channels, tile, widened
from lcl_ref.suite.adapter import Capabilities, Declaration
from lcl_ref.suite.native_views import Reshaping

__all__ = [
    "DTYPES",
    "TILED",
    "MlxLayer",
    "declared",
    "kernel_blocks",
    "kernel_from_blocks",
    "multiply",
    "route",
    "stream",
    "tile",
]

declared = partial(Declaration, framework="mlx", modules=("mlx.core",), vjp_computes_output=False)
"""Makes a `Declaration` of a route on MLX."""

DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64")
"""MLX has these on the CPU."""


class MlxLayer(MlxTransforms):
    """A layer of MLX arrays, differentiated by `mlx.core.vjp`."""

    def reshaping(self) -> Reshaping:
        """Return what makes views of arrays."""
        import mlx.core as mx

        return lambda tensor: mx.moveaxis(tensor, 0, -1), mx.broadcast_to

    def to_native(self, array: Any) -> Any:
        """Copy the array."""
        return from_numpy(array)

    def to_numpy(self, tensor: Any) -> Any:
        """Compute the values."""
        return to_numpy(tensor)

    def gradients(self, operands: Sequence[Any], cotangent: Any, count: int) -> Sequence[Any]:
        """Ask `mlx.core.vjp`."""
        import mlx.core as mx

        rest = operands[count:]
        found: Sequence[Any] = mx.vjp(lambda *moving: self.apply(*moving, *rest), list(operands[:count]), [cotangent])[
            1
        ]
        return found

    def descended(self, gradients: Sequence[Any], rate: float) -> list[Any]:
        """Compute the new weights, which MLX would leave for later."""
        import mlx.core as mx

        held = super().descended(gradients, rate)
        mx.eval(held)
        return held

    def scope(self) -> Any:
        """Compute float64 on the CPU."""
        return stream(self.dtype)


@cache
def route(product: Callable[[Spec, Any, Any], Any]) -> Callable[..., Any]:
    """Return the `apply` of a route: groups split, half types widened, bias added, rounded once.

    Parameters
    ----------
    product : callable
        ``(spec, x (n, i*, g, cg), weight) -> y``, with n, o* and the channels of y in canonical order.
    """

    def apply(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
        wide = widened(x.dtype)
        y = product(spec, split_channels(spec, x.astype(wide)), weight.astype(wide)).reshape(spec.y_shape(len(x)))
        return (y if bias is None else y + bias.astype(wide)).astype(x.dtype)

    return apply


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


TILED = Capabilities(
    stride="kernel",
    dilation=False,
    padding=("valid",),
    channel_table=True,
    dtypes=DTYPES,
    empty_batch=False,
    why={
        "stride": "a reshape makes windows only where they lie side by side and cover the input",
        "dilation": "a reshape makes windows of neighbouring elements only",
        "padding": "the windows cover the input, so there is nothing to pad",
        "empty_batch": "MLX leaves the sum over an empty array unset, "
        "so cotangents of a batch of 0 are arbitrary numbers",
    },
)
"""What a layer built on `tile` supports."""


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
