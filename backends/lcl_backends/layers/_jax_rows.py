"""The layer in JAX, one row of positions at a time: `lax.map` holds the windows of one row, never of all.

Sites come with the batch last, which makes the copies of a row's windows long runs of memory. Of a layer whose windows
fit a cache all together, they are gathered at once, which compiles faster.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from lcl_backends import _patches
from lcl_ref.padding import window_extent
from lcl_ref.spec import Spec

ROOM_BYTES = 2 << 20
"""Windows up to this size, in all, are gathered at once."""


def product(spec: Spec, x: Any, weight: Any) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``; shared axes have length 1 in the weight.

    Of a layer with a connection table, x comes gathered, with one group per output channel.
    """
    windows = math.prod(spec.output_size) * spec.fan_in * x.shape[-2]
    if spec.rank == 0 or len(x) * windows * x.dtype.itemsize <= ROOM_BYTES:
        return _at_once(spec, x, weight)
    sites = jnp.pad(jnp.moveaxis(x, 0, -1), (*spec.padding, (0, 0), (0, 0), (0, 0)))  # (i*, g, cg, n)
    kernels = _patches.grouped(spec, weight)  # (o*, K, cg, g, co/g)
    tall = window_extent(spec.kernel_size[0], spec.dilation[0])

    def row(start: Any, kernel: Any) -> Any:
        seen = lax.dynamic_slice_in_dim(sites, start, tall)[:: spec.dilation[0]]
        return _multiply(_windows(spec, seen), kernel)

    starts = jnp.arange(spec.output_size[0]) * spec.stride[0]
    if spec.shared[0]:
        rows = lax.map(lambda start: row(start, kernels[0]), starts)
    else:
        rows = lax.map(lambda pair: row(*pair), (starts, kernels))  # (o*, g, co/g, n)
    return jnp.moveaxis(rows, -1, 0)


def _at_once(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `product` does, by one gather, in which padding is an index out of range."""
    flat = x.reshape(len(x), math.prod(spec.input_size), *x.shape[-2:])
    windows = (
        flat.at[:, _patches.sites(spec)].get(mode="fill", fill_value=0).reshape(_patches.windows_shape(spec, len(x)))
    )
    return jnp.einsum(_patches.PRODUCT, windows, _patches.grouped(spec, weight), precision=lax.Precision.HIGHEST)


def _windows(spec: Spec, seen: Any) -> Any:
    """``(k1, i2.., g, cg, n) -> (K, o2.., g, cg, n)``: windows of one row of positions, all taps as one axis."""
    axes = list(zip(spec.dilation[1:], spec.output_size[1:], spec.stride[1:], strict=True))
    taps = []
    for tap in np.ndindex(spec.kernel_size[1:]):
        places = (
            slice(k * dilation, k * dilation + (count - 1) * stride + 1, stride)
            for k, (dilation, count, stride) in zip(tap, axes, strict=True)
        )
        taps.append(seen[:, *places])
    return jnp.stack(taps, axis=1).reshape(math.prod(spec.kernel_size), *taps[0].shape[1:])


def _multiply(windows: Any, kernel: Any) -> Any:
    """``(K, o2.., g, cg, n), (o2.., K, cg, g, co/g) -> (o2.., g, co/g, n)``."""
    counts = windows.shape[1:-3]
    whole = jnp.broadcast_to(kernel, (*counts, *kernel.shape[len(counts) :]))
    positions = math.prod(counts)
    left = whole.reshape(positions, *kernel.shape[len(counts) :])
    right = windows.reshape(windows.shape[0], positions, *windows.shape[-3:])
    y = jnp.einsum("pkcgf,kpgcn->pgfn", left, right, precision=lax.Precision.HIGHEST)
    return y.reshape(*counts, *y.shape[1:])
