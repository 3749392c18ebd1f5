"""`flax.linen.ConvLocal`, the published module, with its parameters put in."""

from __future__ import annotations

from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.jax import DTYPES, JaxLayer, declared_flax, fuse_kernel, unfuse_kernel
from lcl_ref.core.spec import Spec


class Adapter:
    """`flax.linen.ConvLocal` behind the adapter protocol."""

    declaration = declared_flax(
        name="flax.conv_local",
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
        published=True,
        live_layouts=("flax/conv_local",),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Fuse taps and channels into the second last axis of ``params/kernel``."""
        return self.prepare_stored(spec, "flax/conv_local", fuse_kernel(spec, weight)[0], bias)

    def prepare_stored(self, spec: Spec, layout: str, weight: Any, bias: Any) -> JaxLayer:
        """Take ``params`` as they are."""
        return JaxLayer(spec, apply, weight, bias, lambda spec, kernel: unfuse_kernel(spec, kernel[None]))


def apply(spec: Spec, x: Any, kernel: Any, bias: Any = None) -> Any:
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
