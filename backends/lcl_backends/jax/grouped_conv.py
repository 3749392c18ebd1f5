"""Blocks of channels as the groups of a convolution of kernel size 1, ``feature_group_count = groups``."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.jax import JaxLayer, declared, route
from lcl_ref.core.spec import Spec


class Adapter:
    """`jax.lax.conv_general_dilated` with ``feature_group_count``."""

    declaration = declared(
        name="jax.grouped_conv",
        summary="conv_general_dilated of kernel size 1 over channels, feature_group_count = groups.",
        layout="hwio",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            why={
                "dtypes": "half types would be widened around it, as in jax.patches",
                "ranks": "one site and a kernel of size 1; jax.patches has the other ranks",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """``(cg, co) -> (1, cg, co)``."""
        return JaxLayer(spec, route(product), weight[None], bias)


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, g, cg), (1, cg, co) -> (n, 1, co)``."""
    from jax import lax

    sites = x.reshape(len(x), 1, groups(spec) * spec.group_channels)
    return lax.conv_general_dilated(
        sites,
        kernel,
        (1,),
        "VALID",
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=groups(spec),
        precision=lax.Precision.HIGHEST,
    )
