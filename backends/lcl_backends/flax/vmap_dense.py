"""`flax.linen.Dense` mapped over blocks by `flax.linen.vmap`, with one set of parameters per block."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.jax import JaxLayer, declared_flax, split_channels
from lcl_ref.core.spec import Spec


class Adapter:
    """`flax.linen.vmap` of `flax.linen.Dense`."""

    declaration = declared_flax(
        name="flax.vmap_dense",
        summary="flax.linen.vmap of Dense over the blocks of a block-diagonal map; half types with dtype=float32.",
        layout="block/h_in_out",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            why={
                "dtypes": "half types would be widened around it, as in flax.conv_local",
                "ranks": "blocks of channels are what is mapped; flax.conv_local has positions",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """``(cg, co) -> (g, cg, co/g)``."""
        kernel = weight.reshape(spec.group_channels, groups(spec), -1).swapaxes(0, 1)
        return JaxLayer(spec, apply, kernel, bias, restore)


def restore(spec: Spec, kernel: Any) -> Any:
    """``(g, cg, co/g) -> (cg, co)``."""
    return kernel.swapaxes(0, 1).reshape(spec.weight_shape)


def apply(spec: Spec, x: Any, kernel: Any, bias: Any = None) -> Any:
    """``(n, ci), (g, cg, co/g), (co,) -> (n, co)``."""
    params = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias.reshape(groups(spec), -1)}
    module = mapped(spec, x.dtype, use_bias=bias is not None)
    return module.apply({"params": params}, split_channels(spec, x)).reshape(spec.y_shape(len(x))).astype(x.dtype)


def mapped(spec: Spec, dtype: Any, *, use_bias: bool) -> Any:
    """Return the unbound module from ``(n, g, cg)`` to ``(n, g, co/g)``."""
    import jax.numpy as jnp
    from flax import linen
    from jax import lax

    dense = linen.vmap(linen.Dense, in_axes=1, out_axes=1, variable_axes={"params": 0}, split_rngs={"params": True})
    return dense(
        spec.out_channels // groups(spec),
        use_bias=use_bias,
        dtype=jnp.promote_types(dtype, jnp.float32),
        precision=lax.Precision.HIGHEST,
    )
