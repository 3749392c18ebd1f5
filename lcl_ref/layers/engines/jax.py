"""The layer in JAX by the route that fits its geometry: one product, one gather, or a tile of positions at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables, jax_beside, jax_kernel, jax_tiles, tiling
from lcl_ref.layers.engines.accelerators.plans import KEPT_BYTES, Plan, jax_plan, room
from lcl_ref.layers.engines.jax_operands import accelerated, add_bias, layer
from lcl_ref.layers.engines.kernel import FORMATS, HALVES, NARROW, THIN

ROOM_BYTES = 1 << 20
"""Windows up to this size, in all, are gathered at once, which compiles faster."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Half types are summed in float32 and rounded once. Every transformation of JAX takes it, to any order.
    """
    numbers = max(map(math.prod, spec.operand_shapes(len(x)).values()))
    if jax_plan(jax.default_backend(), is_complex=jnp.iscomplexobj(weight), numbers=numbers) is Plan.FUSED:
        from lcl_ref.layers.engines.accelerators import pallas_products

        return pallas_products.local(spec, x, weight, bias)
    return by_geometry(spec, x, weight, bias)


def by_geometry(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return what `local` does, on a processor."""
    widens = not _halves_of_the_kernel(spec, x, weight, *(() if bias is None else (bias,)))
    return layer(spec, product, biased, widens=widens)(x, weight, bias)


def product(spec: Spec, x: Any, weight: Any) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``; shared axes have length 1 in the weight.

    Of a layer with a connection table, x comes gathered, with one group per output channel.
    """
    return _chosen(spec, x)(spec, x, weight)


def biased(spec: Spec, x: Any, weight: Any, bias: Any) -> Any:
    """Return what `product` does, with a bias ``(o*, co)`` or ``(co,)``."""
    run = _chosen(spec, x)
    if run is _by_tiles:
        return jax_tiles.BIASED_OUTPUT.bind(x, weight, bias, spec=spec)
    return add_bias(run(spec, x, weight), bias)


def _chosen(spec: Spec, x: Any) -> Callable[[Spec, Any, Any], Any]:
    """Return the route of `product` that fits."""
    if tiling.side_by_side(spec):
        return _by_tiles if _blocks_of_the_kernel(spec, x) else jax_beside.product
    kept = room(ROOM_BYTES, KEPT_BYTES, accelerated=accelerated())
    itemsize = jnp.promote_types(x.dtype, jnp.float32).itemsize
    return _at_once if tiling.windows_bytes(spec, len(x), itemsize) <= kept else _by_tiles


def _blocks_of_the_kernel(spec: Spec, x: Any) -> bool:
    """Return whether the layer is a linear map of blocks that the compiled kernel multiplies."""
    narrow = spec.groups > 1 and THIN <= spec.out_channels // spec.groups <= NARROW
    return narrow and jax_beside.one_site(spec) and jax_kernel.at_hand(spec, x.dtype)


def _halves_of_the_kernel(spec: Spec, x: Any, *others: Any) -> bool:
    """Return whether the compiled kernel takes operands of a half type, all of one, as they are."""
    one = FORMATS.get(x.dtype.name) in HALVES and all(other.dtype == x.dtype for other in others)
    return one and _chosen(spec, x) is _by_tiles and jax_kernel.at_hand(spec, x.dtype)


def _by_tiles(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, a tile of positions at a time."""
    return jax_tiles.OUTPUT.bind(x, weight, spec=spec)


def _at_once(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, by one gather, in which padding is an index out of range."""
    flat = x.reshape(len(x), math.prod(spec.input_size), *x.shape[-2:])
    seen = flat.at[:, index_tables.sites(spec)].get(mode="fill", fill_value=0)
    windows, kernels = seen.reshape(index_tables.windows_shape(spec, len(x))), index_tables.grouped(spec, weight)
    return jnp.einsum(index_tables.PRODUCT, windows, kernels, precision=lax.Precision.HIGHEST)
