"""The same layer as `lcl_ref.core.reference`, as strided windows and batched matrix products.

Proved equal to the reference on every exact case. Windows are gathered one chunk of positions at a time
(`CHUNK_BYTES`), so the working memory does not grow with the layer. A connection table is a gather followed by
``groups = out_channels`` (SPEC 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lcl_ref.core.checks import Array
from lcl_ref.core.reference import bias_gradient
from lcl_ref.core.spec import Spec

CHUNK_BYTES = 2 << 20
"""Aim for the gathered windows of one chunk: fits a second-level cache, and keeps the products large."""


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return ``y (n, o*, co)``; arguments and formula as in `lcl_ref.core.reference.forward`."""
    batch = len(x)
    y = np.empty(spec.y_shape(batch), x.dtype)
    blocks = _weight_blocks(spec, weight)
    for chunk, windows in _chunks(spec, _padded(spec, x)):
        product = windows @ blocks[_of_weight(spec, chunk)]  # (o*, g, n, co/g)
        y[:, *_of_output(spec, chunk)] = _channels_joined(spec, product)
    if bias is not None:
        y += bias
    return y


def transpose(spec: Spec, y: Array, weight: Array) -> Array:
    """Return ``xt (n, i*, ci)``; arguments and formula as in `lcl_ref.core.reference.transpose`."""
    folded = np.zeros(_padded_shape(spec, len(y)), y.dtype)
    blocks = np.swapaxes(_weight_blocks(spec, weight), -1, -2)
    for chunk in _ranges(spec, _window_bytes(spec, y)):
        parts = _channels_split(spec, y[:, *_of_output(spec, chunk)])  # (o*, g, n, co/g)
        _fold(spec, chunk, parts @ blocks[_of_weight(spec, chunk)], folded)
    return _unpadded(spec, folded)


def vjp(spec: Spec, x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dw, db)``; arguments and formulas as in `lcl_ref.core.reference.vjp`."""
    blocks_shape = _weight_blocks(spec, weight).shape
    shared = tuple(axis for axis, is_shared in enumerate(spec.shared) if is_shared)
    dw = np.zeros(blocks_shape, x.dtype) if shared else np.empty(blocks_shape, x.dtype)
    for chunk, windows in _chunks(spec, _padded(spec, x)):
        parts = _channels_split(spec, dy[:, *_of_output(spec, chunk)])
        place, taps = dw[_of_weight(spec, chunk)], np.swapaxes(windows, -1, -2)
        if shared:
            place += (taps @ parts).sum(axis=shared, keepdims=True)
        else:
            np.matmul(taps, parts, out=place)  # (o*, g, k*Cg, co/g)
    return transpose(spec, dy, weight), _weight_unblocked(spec, dw), bias_gradient(spec, dy)


def _groups(spec: Spec) -> int:
    """Return the number of groups after gathering: a connection table makes every output channel its own group."""
    return spec.groups if spec.channel_table is None else spec.out_channels


def _weight_blocks(spec: Spec, weight: Array) -> Array:
    """``(o*, k*, cg, co) -> (o*, g, k*Cg, co/g)``."""
    groups = _groups(spec)
    split = weight.reshape(*spec.weight_size, spec.fan_in, groups, spec.out_channels // groups)
    return np.moveaxis(split, -2, spec.rank)


def _weight_unblocked(spec: Spec, blocks: Array) -> Array:
    """``(o*, g, k*Cg, co/g) -> (o*, k*, cg, co)``: the inverse of `_weight_blocks`."""
    return np.moveaxis(blocks, spec.rank, -2).reshape(spec.weight_shape)


def _channels_split(spec: Spec, y: Array) -> Array:
    """``(n, o*, co) -> (o*, g, n, co/g)``."""
    split = y.reshape(*y.shape[:-1], _groups(spec), -1 if y.size else spec.out_channels // _groups(spec))
    return np.moveaxis(split, (0, -2), (-2, -3))


def _channels_joined(spec: Spec, parts: Array) -> Array:
    """``(o*, g, n, co/g) -> (n, o*, co)``: the inverse of `_channels_split`."""
    joined = np.moveaxis(parts, (-2, -3), (0, -2))
    return joined.reshape(*joined.shape[:-2], spec.out_channels)


def _padded_shape(spec: Spec, batch: int) -> tuple[int, ...]:
    sizes = (size + lo + hi for size, (lo, hi) in zip(spec.input_size, spec.padding, strict=True))
    return batch, *sizes, _groups(spec) * spec.group_channels


def _padded(spec: Spec, x: Array) -> Array:
    """``(n, i*, ci) -> (n, padded*, g*Cg)``: zeros around, channels of a connection table gathered."""
    gathered = x if spec.channel_table is None else x[..., spec.channels.reshape(-1)]
    if not any(map(any, spec.padding)):
        return gathered
    return np.pad(gathered, ((0, 0), *spec.padding, (0, 0)))


def _unpadded(spec: Spec, padded: Array) -> Array:
    """Adjoint of `_padded`: drop the border, add gathered channels back."""
    inner = padded[:, *(slice(lo, lo + size) for size, (lo, _) in zip(spec.input_size, spec.padding, strict=True))]
    if spec.channel_table is None:
        return np.ascontiguousarray(inner)
    xt = np.zeros((*inner.shape[:-1], spec.in_channels), inner.dtype)
    np.add.at(np.moveaxis(xt, -1, 0), spec.channels.reshape(-1), np.moveaxis(inner, -1, 0))
    return xt


def _window_bytes(spec: Spec, array: Array) -> int:
    return len(array) * spec.fan_in * _groups(spec) * array.itemsize


def _ranges(spec: Spec, bytes_per_position: int) -> Iterator[slice]:
    """Yield slices of the first output axis whose windows stay near `CHUNK_BYTES`; one chunk at rank 0."""
    if spec.rank == 0:
        yield slice(0, 1)
        return
    row = bytes_per_position * math.prod(spec.output_size[1:])
    step = max(1, CHUNK_BYTES // max(row, 1))
    for start in range(0, spec.output_size[0], step):
        yield slice(start, min(start + step, spec.output_size[0]))


def _of_output(spec: Spec, chunk: slice) -> tuple[slice, ...]:
    """Return the chunk as an index of the output's position axes."""
    return (chunk,) if spec.rank else ()


def _of_weight(spec: Spec, chunk: slice) -> tuple[slice, ...]:
    """Return the chunk as an index of the weight's position axes: all of a shared first axis."""
    return (chunk,) if spec.rank and not spec.shared[0] else ()


def _chunks(spec: Spec, padded: Array) -> Iterator[tuple[slice, Array]]:
    """Yield ``(chunk, windows)`` with the windows of those positions as ``(o*, g, n, k*Cg)``."""
    groups, batch = _groups(spec), len(padded)
    for chunk in _ranges(spec, _window_bytes(spec, padded)):
        first = padded[:, chunk.start * spec.stride[0] :] if spec.rank else padded
        counts = (chunk.stop - chunk.start, *spec.output_size[1:]) if spec.rank else ()
        yield chunk, _windows(spec, first, counts).reshape(*counts, groups, batch, spec.fan_in)


def _windows(spec: Spec, padded: Array, counts: tuple[int, ...]) -> Array:
    """Return a view ``(o*, g, n, k*, cg)`` of the windows at the first `counts` positions."""
    batch_step, *site_steps, channel_step = padded.strides
    width = spec.group_channels
    shape = (*counts, _groups(spec), len(padded), *spec.kernel_size, width)
    strides = (
        *(step * stride for step, stride in zip(site_steps, spec.stride, strict=True)),
        channel_step * width,
        batch_step,
        *(step * spread for step, spread in zip(site_steps, spec.dilation, strict=True)),
        channel_step,
    )
    return as_strided(padded, shape, strides, writeable=False)


def _fold(spec: Spec, chunk: slice, windows: Array, folded: Array) -> None:
    """Add windows ``(o*, g, n, k*Cg)`` of one chunk back onto the padded input, tap by tap."""
    counts = windows.shape[: spec.rank]
    taps = windows.reshape(*counts, _groups(spec), folded.shape[0], *spec.kernel_size, spec.group_channels)
    lead = (slice(None),) * (spec.rank + 2)
    for tap in np.ndindex(spec.kernel_size):
        part = np.moveaxis(taps[*lead, *tap], (spec.rank + 1, spec.rank), (0, -2))  # (n, o*, g, cg)
        sites = [
            slice(begin, begin + (count - 1) * stride + 1, stride)
            for begin, count, stride in zip(_first_sites(spec, chunk, tap), counts, spec.stride, strict=True)
        ]
        folded[:, *sites] += part.reshape(*part.shape[:-2], -1 if part.size else folded.shape[-1])


def _first_sites(spec: Spec, chunk: slice, tap: tuple[int, ...]) -> list[int]:
    """Return where tap `tap` of the chunk's first position falls in the padded input, per axis."""
    starts = (chunk.start, *[0] * (spec.rank - 1))[: spec.rank]
    return [
        o * stride + k * spread for o, k, stride, spread in zip(starts, tap, spec.stride, spec.dilation, strict=True)
    ]
