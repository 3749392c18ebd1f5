"""`mlx.core.gather_mm`, the product of mixtures of experts: matrices chosen by their number, each block its own."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.mlx import MlxLayer, declared, kernel_blocks, kernel_from_blocks, route
from lcl_ref.core.spec import Spec


class Adapter:
    """`mlx.core.gather_mm` behind the adapter protocol."""

    declaration = declared(
        name="mlx.gather_mm",
        summary="mlx.core.gather_mm: block g of the channels times matrix g.",
        layout="block/h_out_in",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            dtypes=("float16", "bfloat16", "float32"),
            empty_batch=False,
            why={
                "ranks": "it multiplies chosen matrices, which are blocks of channels here",
                "dtypes": "gather_mm takes no float64, and the float32 of half types",
                "empty_batch": "the process ends with a division by zero",
            },
            declines={
                "transform/jvp": "MLX has no forward rule for gather_mm",
                "transform/vmap": "MLX maps no gather_mm",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Stack the weights of the blocks as ``(g, co/g, cg)``."""
        return MlxLayer(spec, route(product), kernel_blocks(spec, weight), bias, kernel_from_blocks)


def product(spec: Spec, x: Any, blocks: Any) -> Any:
    """``(n, g, cg), (g, co/g, cg) -> (n, g, co/g)``."""
    import mlx.core as mx

    chosen = mx.arange(groups(spec), dtype=mx.uint32)
    return mx.gather_mm(x.transpose(1, 0, 2), blocks.swapaxes(-1, -2), chosen, chosen).transpose(1, 0, 2)
