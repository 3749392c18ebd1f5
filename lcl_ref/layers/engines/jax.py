"""The layer in JAX by the route that fits its geometry: one product, one gather, or a tile of positions at a time."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables, jax_tiles, tiling
from lcl_ref.layers.engines.accelerators.plans import KEPT_BYTES, Plan, jax_plan, room
from lcl_ref.layers.engines.jax_operands import accelerated, layer

ROOM_BYTES = 1 << 20
"""Windows up to this size, in all, are gathered at once, which compiles faster."""

FEW_BLOCKS, WIDE = 32, 64
"""So few blocks of so many output channels are multiplied one by one."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Half types are summed in float32 and rounded once. Every transformation of JAX takes it, to any order.
    """
    numbers = max(map(math.prod, spec.operand_shapes(len(x)).values()))
    if jax_plan(jax.default_backend(), is_complex=jnp.iscomplexobj(weight), numbers=numbers) is Plan.FUSED:
        from lcl_ref.layers.engines.accelerators import pallas_products

        return pallas_products.local(spec, x, weight, bias)
    return layer(spec, product)(x, weight, bias)


def product(spec: Spec, x: Any, weight: Any) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``; shared axes have length 1 in the weight.

    Of a layer with a connection table, x comes gathered, with one group per output channel.
    """
    if tiling.side_by_side(spec):
        return (_by_block if _few_blocks(spec, x) else _side_by_side)(spec, x, weight)
    if tiling.windows_bytes(spec, len(x), x.dtype.itemsize) <= room(ROOM_BYTES, KEPT_BYTES, accelerated=accelerated()):
        return _at_once(spec, x, weight)
    return _by_tiles(spec, x, weight)


def _by_tiles(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, a tile of positions at a time."""
    return jax_tiles.OUTPUT.bind(x, weight, spec=spec)


def _few_blocks(spec: Spec, x: Any) -> bool:
    """Return whether the layer is a linear map of few, wide blocks."""
    blocks, one_site = x.shape[-2], math.prod(spec.kernel_size) == math.prod(spec.output_size) == 1
    return one_site and blocks <= FEW_BLOCKS and spec.out_channels // blocks >= WIDE


def _by_block(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, by a product per block, each of which XLA takes from where it lies."""
    blocks = x.shape[-2]
    rows = jnp.split(x.reshape(len(x), math.prod(x.shape[1:])), blocks, axis=1)  # an index has a slow derivative
    matrices = jnp.split(weight.reshape(-1, spec.out_channels), blocks, axis=1)
    products = [jnp.matmul(*pair, precision=lax.Precision.HIGHEST) for pair in zip(rows, matrices, strict=True)]
    return jnp.concatenate(products, axis=1).reshape(len(x), *spec.output_size, blocks, spec.out_channels // blocks)


def _side_by_side(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does where windows are a reshape of the input: one batched product of matrices.

    Its factors become matrices first; left to itself, XLA takes an order that costs up to half as much again.
    """
    positions, taps = "abd"[: spec.rank], "uvw"[: spec.rank]
    own, tied = ("".join(positions[axis] for axis in part) for part in (tiling.own(spec), tiling.tied(spec)))
    windows = "".join(position + tap for position, tap in zip(positions, taps, strict=True))
    tiled = [size for pair in zip(spec.output_size, spec.kernel_size, strict=True) for size in pair]
    kept = [spec.output_size[axis] for axis in tiling.own(spec)]
    split = weight.reshape(*kept, *spec.kernel_size, spec.group_channels, x.shape[-2], -1)
    rows = jnp.einsum(f"n{windows}gc->{own}gn{tied}{taps}c", x.reshape(len(x), *tiled, *x.shape[-2:]))
    kernels = jnp.einsum(f"{own}{taps}cgf->{own}g{taps}cf", split)
    left, right = f"{own}gn{tied}{taps}c", f"{own}g{taps}cf"
    y = jnp.einsum(f"{left},{right}->{own}gn{tied}f", rows, kernels, precision=lax.Precision.HIGHEST)
    return jnp.einsum(f"{own}gn{tied}f->n{positions}gf", y)


def _at_once(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, by one gather, in which padding is an index out of range."""
    flat = x.reshape(len(x), math.prod(spec.input_size), *x.shape[-2:])
    seen = flat.at[:, index_tables.sites(spec)].get(mode="fill", fill_value=0)
    windows, kernels = seen.reshape(index_tables.windows_shape(spec, len(x))), index_tables.grouped(spec, weight)
    return jnp.einsum(index_tables.PRODUCT, windows, kernels, precision=lax.Precision.HIGHEST)
