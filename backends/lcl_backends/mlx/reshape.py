"""Windows that tile the input: reshape, and one matrix product per position (MLX issue 1881, in any rank)."""

from __future__ import annotations

from functools import partial
from typing import Any

from lcl_backends.support.mlx import (
    DTYPES,
    TILE_LIMITS,
    MlxLayer,
    kernel_blocks,
    kernel_from_blocks,
    layer,
    multiply,
    tile,
)
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """Reshape and matmul behind the adapter protocol."""

    declaration = Declaration(
        name="mlx.reshape",
        framework="mlx",
        modules=("mlx.core",),
        summary="Non-overlapping windows by reshape, then one batched matmul over positions and groups.",
        layout="mlx/issue1881",
        capabilities=Capabilities(
            stride="kernel",
            dilation=False,
            padding=("valid",),
            channel_table=True,
            dtypes=DTYPES,
            empty_batch=False,
            why=TILE_LIMITS,
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Lay the weight out as one ``(co/g, k* * cg)`` matrix per position and group."""
        return layer(spec, dtype, product, kernel_blocks(spec, weight), bias, partial(kernel_from_blocks, spec))


def product(spec: Spec, x: Any, blocks: Any) -> Any:
    """``(n, i*, g, cg), (o*, g, co/g, k* * cg) -> (n, o*, g, co/g)``."""
    rank = spec.rank
    positions, taps = range(1, 2 * rank + 1, 2), range(2, 2 * rank + 1, 2)
    windows = tile(spec, x).transpose(*positions, 2 * rank + 1, 0, *taps, 2 * rank + 2)  # (o*, g, n, k*, cg)
    return multiply(spec, windows.reshape(*windows.shape[: rank + 2], spec.fan_in), blocks)
