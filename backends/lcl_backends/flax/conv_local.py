"""`flax.linen.ConvLocal`, the published module, with its parameters put in."""

from __future__ import annotations

from functools import partial
from typing import Any

from lcl_backends.support.jax import DTYPES, JaxLayer, fuse_kernel, prepared, unfuse_kernel
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """`flax.linen.ConvLocal` behind the adapter protocol."""

    declaration = Declaration(
        name="flax.conv_local",
        framework="flax",
        modules=("flax", "jax"),
        summary="flax.linen.ConvLocal applied to params made from canonical weights; half types with dtype=float32.",
        layout="flax/conv_local",
        capabilities=Capabilities(
            ranks=(1, 2, 3),
            groups=False,
            sharing=("none",),
            bias=("none", "position"),
            dtypes=DTYPES,
            nonfinite=False,
            why={
                "ranks": "without spatial axes the module computes a kernel shape that is not an integer",
                "groups": "the module refuses feature_group_count other than 1",
                "channel_table": "every output channel of the module reads all input channels",
                "sharing": "the module stores one kernel per position",
                "bias": "the module stores one bias per position and channel",
                "nonfinite": "jax.lax.conv_general_dilated_local makes patches by a convolution with an identity "
                "kernel, and 0 * inf is NaN",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Fuse taps and channels into the second last axis of ``params/kernel``."""
        kernel = fuse_kernel(spec, weight)[0]
        return prepared(spec, dtype, partial(apply, spec), kernel, bias, lambda dw: unfuse_kernel(spec, dw[None]))


def apply(spec: Spec, x: Any, kernel: Any, bias: Any) -> Any:
    """Apply the module to ``x (n, i*, ci)`` with kernel ``(o*, ci * k*, co)`` and bias ``(o*, co)`` or None."""
    params = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    return module(spec, x.dtype, use_bias=bias is not None).apply({"params": params}, x).astype(x.dtype)


def module(spec: Spec, dtype: Any, *, use_bias: bool) -> Any:
    """Return the unbound module; it computes half types in float32, so that sums are rounded once.

    kernel_size is always a tuple: an int would be taken for a 1-D layer, and the rows of an image for its samples.
    """
    import jax.numpy as jnp
    from flax import linen
    from jax import lax

    return linen.ConvLocal(
        features=spec.out_channels,
        kernel_size=spec.kernel_size,
        strides=spec.stride,
        padding=spec.padding,
        kernel_dilation=spec.dilation,
        use_bias=use_bias,
        dtype=jnp.promote_types(dtype, jnp.float32),
        precision=lax.Precision.HIGHEST,
    )
