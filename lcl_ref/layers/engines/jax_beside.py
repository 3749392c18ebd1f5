"""The layer in JAX where windows lie side by side: products that XLA makes of the operands as they are."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import tiling

FEW_BLOCKS, WIDE = 32, 64
"""So few blocks of so many output channels are multiplied one by one."""


def product(spec: Spec, x: Any, weight: Any) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``."""
    return (_by_block if _few_blocks(spec, x) else _batched)(spec, x, weight)


def one_site(spec: Spec) -> bool:
    """Return whether the layer is a linear map of channels."""
    return math.prod(spec.kernel_size) == math.prod(spec.output_size) == 1


def input_gradient(spec: Spec, dy: Any, weight: Any) -> Any:
    """``(n, o*, g, co/g), (o*, k*, cg, co) -> (n, i*, g, cg)``."""
    x = jax.ShapeDtypeStruct((len(dy), *spec.input_size, dy.shape[-2], spec.group_channels), dy.dtype)
    return jax.linear_transpose(lambda x: product(spec, x, weight), x)(dy)[0]


def weight_gradient(spec: Spec, x: Any, dy: Any) -> Any:
    """``(n, i*, g, cg), (n, o*, g, co/g) -> (o*, k*, cg, co)``."""
    weight = jax.ShapeDtypeStruct(spec.weight_shape, x.dtype)
    return jax.linear_transpose(lambda weight: product(spec, x, weight), weight)(dy)[0]


def _few_blocks(spec: Spec, x: Any) -> bool:
    """Return whether the layer is a linear map of few, wide blocks."""
    blocks = x.shape[-2]
    return one_site(spec) and blocks <= FEW_BLOCKS and spec.out_channels // blocks >= WIDE


def _by_block(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, by a product per block, each of which XLA takes from where it lies."""
    blocks = x.shape[-2]
    rows = jnp.split(x.reshape(len(x), math.prod(x.shape[1:])), blocks, axis=1)  # an index has a slow derivative
    matrices = jnp.split(weight.reshape(-1, spec.out_channels), blocks, axis=1)
    products = [jnp.matmul(*pair, precision=lax.Precision.HIGHEST) for pair in zip(rows, matrices, strict=True)]
    return jnp.concatenate(products, axis=1).reshape(len(x), *spec.output_size, blocks, spec.out_channels // blocks)


def _batched(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, by one batched product of matrices.

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
