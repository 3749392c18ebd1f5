"""Windows gathered through an index table, then one product of matrices per position and group."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcl_backends._jax import JaxLayer, group_count, layer
from lcl_ref.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration


class Adapter:
    """Gather and `jax.numpy.einsum` behind the adapter protocol."""

    declaration = Declaration(
        name="jax.patches",
        framework="jax",
        modules=("jax",),
        summary="Windows gathered in one indexing operation, then one einsum, whose weight lacks the shared axes.",
        layout="canonical",
        capabilities=Capabilities(channel_table=True, dtypes=("float16", "bfloat16", "float32", "float64")),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> JaxLayer:
        """Split the output channels into groups; a reshape, for the canonical order is the one the gather gives."""
        groups = group_count(spec)
        unshared = [size for size, shared in zip(spec.output_size, spec.shared, strict=True) if not shared]
        kernel = weight.reshape(*unshared, *spec.kernel_size, spec.group_channels, groups, spec.out_channels // groups)
        return JaxLayer(spec, dtype, layer(spec, product), kernel, bias, lambda dw: dw.reshape(spec.weight_shape))


def product(spec: Spec, x: Any, kernel: Any) -> Any:
    """``(n, i*, g, cg), (unshared o*, k*, cg, g, co/g) -> (n, o*, g, co/g)``."""
    import jax.numpy as jnp
    from jax import lax

    sites = x.reshape(len(x), -1 if x.size else 1, *x.shape[-2:])
    windows = sites.at[:, input_sites(spec)].get(mode="fill", fill_value=0)  # (n, o*, k*, g, cg)
    o, k = "ZYX"[3 - spec.rank :], "zyx"[3 - spec.rank :]
    of_weight = "".join(axis for axis, shared in zip(o, spec.shared, strict=True) if not shared)
    equation = f"n{o}{k}gc,{of_weight}{k}cgf->n{o}gf"
    return jnp.einsum(equation, windows, kernel, precision=lax.Precision.HIGHEST)


def input_sites(spec: Spec) -> np.ndarray[Any, Any]:
    """Return the ``(o*, k*)`` row-major input site of every tap; outside the input, one past the last site."""
    table, inside = np.zeros((1,) * 2 * spec.rank, np.int32), np.ones((1,) * 2 * spec.rank, bool)
    for axis, size in enumerate(spec.input_size):
        o = np.arange(spec.output_size[axis], dtype=np.int32) * spec.stride[axis]
        k = np.arange(spec.kernel_size[axis], dtype=np.int32) * spec.dilation[axis]
        shape = np.ones(2 * spec.rank, int)
        shape[[axis, spec.rank + axis]] = len(o), len(k)
        site = (o[:, None] + k - spec.padding[axis][0]).reshape(shape)
        table, inside = table * size + site, inside & (site >= 0) & (site < size)
    return np.where(inside, table, np.prod(spec.input_size, dtype=np.int32))
