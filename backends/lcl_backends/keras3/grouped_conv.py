"""Blocks of channels as the groups of `keras.ops.conv` with kernel size 1, on JAX."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import keras3
from lcl_backends.support.jax import JaxLayer, layer, prepared
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`keras.ops.conv`, what `keras.layers.Conv1D` with ``groups`` calls."""

    declaration = Declaration(
        name="keras3.grouped_conv",
        framework="keras",
        summary="keras.ops.conv on jax, kernel size 1 over channels; it finds the groups in the shape of the kernel.",
        layout="hwio",
        **keras3.start("jax"),
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            why={
                "dtypes": "half types would be widened around it, as in keras3.patches",
                "ranks": "one site and a kernel of size 1; keras3.patches has the other ranks",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """``(cg, co) -> (1, cg, co)``."""
        keras3.load("jax")
        return prepared(spec, dtype, layer(spec, product), weight[None], bias, lambda dw: dw[0])


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, g, cg), (1, cg, co) -> (n, 1, co)``."""
    from keras import ops

    sites = x.reshape(len(x), 1, groups(spec) * spec.group_channels)
    return ops.conv(sites, kernel, padding="valid", data_format="channels_last")
