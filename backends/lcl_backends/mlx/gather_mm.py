"""`mlx.core.gather_mm`, the product of mixtures of experts: matrices chosen by their number, each block its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.mlx import MlxLayer, declared, route
from lcl_ref.core.spec import Spec


class Adapter:
    """`mlx.core.gather_mm` behind the adapter protocol."""

    declaration = declared(
        name="mlx.gather_mm",
        summary="mlx.core.gather_mm: block g of the channels times matrix g.",
        layout="block/h_in_out",
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
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """Stack the weights of the blocks as ``(g, cg, co/g)``."""
        matrices = np.moveaxis(weight.reshape(spec.group_channels, groups(spec), -1), 1, 0)
        return MlxLayer(spec, route(product), matrices, bias, _restore)


def product(spec: Spec, x: Any, matrices: Any) -> Any:
    """``(n, g, cg), (g, cg, co/g) -> (n, g, co/g)``."""
    import mlx.core as mx

    chosen = mx.arange(groups(spec), dtype=mx.uint32)
    return mx.gather_mm(x.transpose(1, 0, 2), matrices, chosen, chosen).transpose(1, 0, 2)


def _restore(spec: Spec, matrices: Any) -> Any:
    """``(g, cg, co/g) -> (cg, co)``."""
    return np.moveaxis(matrices, 0, 1).reshape(spec.weight_shape)
