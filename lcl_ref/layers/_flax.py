"""Shared by the layers of flax.linen and flax.nnx: the calls, and how parameters start."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from lcl_ref.core.spec import Spec
from lcl_ref.extensions.unequal import Blocks
from lcl_ref.layers._arguments import check_sample
from lcl_ref.layers.sharded import Sharded, partitioned

bias_start = jax.nn.initializers.zeros
block_start = jax.nn.initializers.lecun_normal()


def kernel_start(spec: Spec) -> Callable[..., Any]:
    """Return LeCun normal, its fan the number of inputs that one output sums."""

    def draw(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.random.truncated_normal(key, -2, 2, shape, dtype) * (_UNIT / jnp.sqrt(spec.fan_in)).astype(dtype)

    return draw


_UNIT = 1 / 0.87962566103423978
"""Over the standard deviation of the normal distribution cut at two of its own, as `jax.nn.initializers` has it."""


def hashable(regions: Any) -> Any:
    """Return counts or a map as numbers in tuples."""
    plain = regions.tolist() if hasattr(regions, "tolist") else regions
    return plain if plain is None or isinstance(plain, int) else tuple(map(hashable, plain))


def apply(spec: Spec, x: Any, kernel: Any, bias: Any, dtype: Any, over: Sequence[Any] = (None, None, None)) -> Any:
    """Return ``y (..., o*, co)`` of ``x (..., i*, ci)`` in `dtype`, or that of x; any batch axes, or none.

    `over` are mesh, axes and batch axis of a layer that lies on several devices; where there is no mesh, they are those
    by which the kernel is cut, if its sharding is explicit, and else those by which XLA cuts it.

    Raises
    ------
    ShapeError
        If x is not of the shape the layer was made for.
    """
    sample = spec.x_shape(0)[1:]
    meaning = "batch axes, any or none, then the input_size the layer was made for, then channels"
    check_sample(x, sample, leading=(), meaning=meaning)
    wanted = x.dtype if dtype is None else dtype
    batch = x.shape[: x.ndim - len(sample)]
    layer = _of_devices(spec, *over) if over[0] is not None else _of_explicit(spec, x, kernel)
    flat = x if len(batch) == 1 else x.reshape(math.prod(batch), *sample)
    operands = (array if array is None else jnp.asarray(array, wanted) for array in (flat, kernel, bias))
    y = partitioned(spec, *operands) if layer is None else layer(*operands)
    return y if len(batch) == 1 else y.reshape(*batch, *y.shape[1:])


def _of_devices(spec: Spec, mesh: Any, axes: Sequence[str | None], batch: str | None) -> Sharded:
    return _sharded(spec, mesh, tuple(axes), batch)


_sharded = cache(Sharded)


def _of_explicit(spec: Spec, x: Any, kernel: Any) -> Sharded | None:
    """Return the layer over the devices that hold the kernel, where its type says so; None for a whole kernel."""
    sharding = jax.typeof(kernel).sharding
    names = (*sharding.spec, *(None,) * spec.rank)[: spec.rank]
    if not any(isinstance(name, str) for name in names):
        return None
    batch = next(iter(jax.typeof(x).sharding.spec), None)
    return _of_devices(spec, sharding.mesh, names, None if batch in names else batch)


def apply_blocks(blocks: Blocks, x: Any, kernels: Sequence[Any], bias: Any, dtype: Any) -> Any:
    """Return ``y (..., sum of outputs)`` of ``x (..., sum of inputs)`` in `dtype`, or that of x.

    Raises
    ------
    ShapeError
        If the last axis of x has another length.
    """
    check_sample(x, (blocks.in_channels,), leading=(), meaning="the inputs of all blocks last")
    cast = partial(jnp.asarray, dtype=x.dtype if dtype is None else dtype)
    parts = zip(blocks.inputs, kernels, strict=True)
    y = jnp.concatenate([_matmul(cast(x[..., where]), cast(kernel)) for where, kernel in parts], -1)
    return y if bias is None else y + cast(bias)


_matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
