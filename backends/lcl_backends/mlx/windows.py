"""Windows of any stride and dilation as one strided view of the padded input, then one matrix product per position."""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.mlx import DTYPES, MlxLayer, declared, kernel_blocks, kernel_from_blocks, multiply, route
from lcl_ref.core.spec import Spec


class Adapter:
    """`mlx.core.as_strided` and matmul behind the adapter protocol."""

    declaration = declared(
        name="mlx.windows",
        summary="Windows by as_strided on the padded input, then one batched matmul over positions and groups.",
        layout="mlx/issue1881",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=DTYPES,
            empty_batch=False,
            why={"empty_batch": "the gradient of as_strided is a scatter, which MLX refuses on an empty array"},
            declines={"transform/vmap": "MLX maps no as_strided, by which windows are made"},
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Lay the weight out as one ``(co/g, k* * cg)`` matrix per position and group."""
        return MlxLayer(spec, route(product), kernel_blocks(spec, weight), bias, kernel_from_blocks)


def product(spec: Spec, x: Any, blocks: Any) -> Any:
    """``(n, i*, g, cg), (o*, g, co/g, k* * cg) -> (n, o*, g, co/g)``."""
    import mlx.core as mx

    padded = mx.pad(x, [(0, 0), *spec.padding, (0, 0), (0, 0)])
    batch, *_, groups, width = padded.shape
    batch_step, *site_steps, group_step, channel_step = _row_major(padded.shape)
    strides = (
        *(step * stride for step, stride in zip(site_steps, spec.stride, strict=True)),
        group_step,
        batch_step,
        *(step * spread for step, spread in zip(site_steps, spec.dilation, strict=True)),
        channel_step,
    )
    windows = mx.as_strided(padded, (*spec.output_size, groups, batch, *spec.kernel_size, width), strides)
    return multiply(spec, windows.reshape(*spec.output_size, groups, batch, spec.fan_in), blocks)


def _row_major(shape: tuple[int, ...]) -> list[int]:
    """Return the steps, in elements, of a contiguous array of `shape`."""
    return list(accumulate((1, *shape[:0:-1]), mul))[::-1]
