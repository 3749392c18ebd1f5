"""`jax.lax.ragged_dot`, the product of mixtures of experts: rows of one matrix, each block with its own."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.jax import DTYPES, JaxLayer, declared, fuse_kernel, route, unfuse_kernel
from lcl_ref.core.spec import Spec


class Adapter:
    """`jax.lax.ragged_dot` behind the adapter protocol."""

    declaration = declared(
        name="jax.ragged_dot",
        summary="jax.lax.ragged_dot: samples of each block below one another, and as many rows for each.",
        layout="block/h_in_out",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            dtypes=DTYPES,
            why={"ranks": "it multiplies blocks of rows, which are blocks of channels here"},
            declines={
                "transform/second-derivative": "JAX has no second derivative of ragged_dot",
                "transform/vmap": "JAX maps ragged_dot over first axes only",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Stack the weights of the blocks as ``(g, cg, co/g)``."""
        return JaxLayer(spec, route(product), fuse_kernel(spec, weight), bias, unfuse_kernel)


def product(spec: Spec, x: Any, matrices: Any) -> Any:
    """``(n, g, cg), (g, cg, co/g) -> (n, g, co/g)``."""
    import jax.numpy as jnp
    from jax import lax

    samples, count, _ = x.shape
    rows = jnp.moveaxis(x, 1, 0).reshape(count * samples, spec.group_channels)
    sizes = jnp.full(count, samples, jnp.int32)
    y = lax.ragged_dot(rows, matrices, sizes, precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(y.reshape(count, samples, spec.out_channels // count), 0, 1)
