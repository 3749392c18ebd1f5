"""Windows that tile the input: reshape, and one matrix product per position (MLX issue 1881, in any rank)."""

from __future__ import annotations

from typing import Any

from lcl_backends.support.mlx import TILED, MlxLayer, declared, kernel_blocks, kernel_from_blocks, multiply, route, tile
from lcl_ref.core.spec import Spec


class Adapter:
    """Reshape and matmul behind the adapter protocol."""

    declaration = declared(
        name="mlx.reshape",
        summary="Non-overlapping windows by reshape, then one batched matmul over positions and groups.",
        layout="mlx/issue1881",
        capabilities=TILED,
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Lay the weight out as one ``(co/g, k* * cg)`` matrix per position and group."""
        return MlxLayer(spec, route(product), kernel_blocks(spec, weight), bias, kernel_from_blocks)


def product(spec: Spec, x: Any, blocks: Any) -> Any:
    """``(n, i*, g, cg), (o*, g, co/g, k* * cg) -> (n, o*, g, co/g)``."""
    rank = spec.rank
    positions, taps = range(1, 2 * rank + 1, 2), range(2, 2 * rank + 1, 2)
    windows = tile(spec, x).transpose(*positions, 2 * rank + 1, 0, *taps, 2 * rank + 2)  # (o*, g, n, k*, cg)
    return multiply(spec, windows.reshape(*windows.shape[: rank + 2], spec.fan_in), blocks)
