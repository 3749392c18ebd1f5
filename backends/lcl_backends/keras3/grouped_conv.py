"""Blocks of channels as the groups of `keras.ops.conv` with kernel size 1, on JAX."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, groups, keras3
from lcl_backends.support.jax import route
from lcl_ref.core.spec import Spec


class Adapter(keras3.KerasAdapter):
    """`keras.ops.conv`, what `keras.layers.Conv1D` with ``groups`` calls."""

    declaration = keras3.declared(
        "grouped_conv",
        "jax",
        summary="keras.ops.conv on jax, kernel size 1 over channels; it finds the groups in the shape of the kernel.",
        layout="hwio",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            why={
                "dtypes": "half types would be widened around it, as in keras3.patches",
                "ranks": "one site and a kernel of size 1; keras3.patches has the other ranks",
            },
        ),
    )

    def parts(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tuple[Any, ...]:
        """``(cg, co) -> (1, cg, co)``."""
        return route(product), weight[None], bias


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, g, cg), (1, cg, co) -> (n, 1, co)``."""
    from keras import ops

    sites = x.reshape(len(x), 1, groups(spec) * spec.group_channels)
    return ops.conv(sites, kernel, padding="valid", data_format="channels_last")
