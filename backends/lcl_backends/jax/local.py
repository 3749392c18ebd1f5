"""`jax.lax.conv_general_dilated_local`, JAX's own unshared convolution, once per group."""

from __future__ import annotations

from functools import partial
from typing import Any

from lcl_backends.support import Capabilities
from lcl_backends.support.jax import DTYPES, JaxLayer, declared, fuse_kernel, route, unfuse_kernel
from lcl_ref.core.spec import Spec


class Adapter:
    """`jax.lax.conv_general_dilated_local` behind the adapter protocol."""

    declaration = declared(
        name="jax.local",
        summary="jax.lax.conv_general_dilated_local, mapped over groups; shared axes by broadcasting the kernel.",
        layout="jax/local/HWIO",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=DTYPES,
            nonfinite=False,
            why={
                "nonfinite": "the patches are made by a convolution with an identity kernel, and 0 * inf is NaN, "
                "so an inf turns every tap of its window and channel into NaN",
            },
        ),
        published=True,
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Fuse taps and channels into the axis the operation calls I."""
        return JaxLayer(spec, route(product), fuse_kernel(spec, weight), bias, unfuse_kernel)


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, i*, g, cg), (g, o*, cg * k*, co/g) -> (n, o*, g, co/g)``; a shared axis has size 1 in the kernel."""
    import jax
    from jax import lax

    spatial = "ZYX"[3 - spec.rank :]
    groups, *_, fused, width = kernel.shape
    local = partial(
        lax.conv_general_dilated_local,
        window_strides=spec.stride,
        padding=spec.padding,
        filter_shape=spec.kernel_size,
        rhs_dilation=spec.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        precision=lax.Precision.HIGHEST,
    )
    tied = jax.numpy.broadcast_to(kernel, (groups, *spec.output_size, fused, width))
    return jax.vmap(local, in_axes=(-2, 0), out_axes=-2)(x, tied)
