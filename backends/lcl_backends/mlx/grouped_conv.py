"""Blocks of channels as the groups of `mlx.core.conv1d` with kernel size 1."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.mlx import MlxLayer, declared, route
from lcl_ref.core.spec import Spec


class Adapter:
    """`mlx.core.conv1d` with ``groups``."""

    declaration = declared(
        name="mlx.grouped_conv",
        summary="conv1d of kernel size 1 over channels, groups = blocks.",
        layout="mlx/conv",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            dtypes=("float16", "bfloat16", "float32"),
            empty_batch=False,
            why={
                "ranks": "one site and a kernel of size 1; mlx.windows has the other ranks",
                "dtypes": "conv1d takes float64 and computes it in float32",
                "empty_batch": "MLX refuses to convolve an empty array",
            },
            declines={
                "transform/jvp": "MLX has no forward rule for convolutions",
                "transform/vmap": "MLX maps no as_strided, by which it differentiates convolutions",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> MlxLayer:
        """``(cg, co) -> (co, 1, cg)``."""
        return MlxLayer(spec, route(product), weight.T[:, None], bias, lambda _, kernel: kernel[:, 0].T)


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, g, cg), (co, 1, cg) -> (n, 1, co)``."""
    import mlx.core as mx

    return mx.conv1d(x.reshape(len(x), 1, groups(spec) * spec.group_channels), kernel, groups=groups(spec))
