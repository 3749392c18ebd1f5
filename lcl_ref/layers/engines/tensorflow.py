"""The layer as one differentiable function of TensorFlow, by the route that fits its geometry.

Where windows overlap and are many, positions are taken a tile at a time (`lcl_ref.layers.engines.tiling.Walk`) in a
loop that XLA compiles, once per layer and batch size: it writes results in place, which TensorFlow's own loops cannot,
and holds the windows of one tile. The derivatives of the three products of a layer are each the other two, so those of
every order run tile by tile.

Inside, sites come with the batch last, so that a site of all samples is one run of memory: gathering windows, and
adding up the gradients they leave behind, move such runs. Outputs, and their cotangents, stay with the batch first:
each tile reads or writes its own positions of them. So a loop holds, beyond its tile, one copy of the input or of its
cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import index_tables, tiling
from lcl_ref.layers.engines.accelerators.plans import BUDGET_BYTES, KEPT_BYTES, room
from lcl_ref.layers.engines.index_tables import groups, width
from lcl_ref.layers.engines.tiling import Run

TILE_BYTES = 1 << 19
"""Aim for the windows of one tile: they are read again at once, from the second-level cache."""

ROOM_BYTES = 1 << 20
"""Windows up to this size, in all, are gathered at once, and nothing is compiled."""

USUAL_BATCH = 32
"""What tiles are made for where the batch size is not known before the call."""


def local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias, in the dtype of x.

    Half types are summed in float32 and rounded once. Differentiable to any order by `tf.GradientTape`.
    """
    wide = tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else x.dtype
    order, seen = index_tables.gathered(spec), tf.cast(x, wide)
    seen = seen if order is None else tf.gather(seen, order, axis=-1)
    split = tf.reshape(seen, (_batch(x), *spec.input_size, groups(spec), spec.group_channels))
    y = tf.reshape(_product(spec, split, tf.cast(weight, wide)), (_batch(x), *spec.output_size, spec.out_channels))
    return tf.cast(y if bias is None else y + tf.cast(bias, wide), x.dtype)


@cache
def _accelerated() -> bool:
    """Return whether TensorFlow places operations on anything but a processor."""
    return any(device.device_type != "CPU" for device in tf.config.list_logical_devices())


def _product(spec: Spec, x: Any, weight: Any) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``."""
    if tiling.side_by_side(spec):
        return _side_by_side(spec, x, weight)
    most = room(ROOM_BYTES, KEPT_BYTES, accelerated=_accelerated())
    if x.shape[0] is not None and tiling.windows_bytes(spec, x.shape[0], x.dtype.size) <= most:
        return _at_once(spec, x, weight)
    return _output(spec)(x, weight)


def _side_by_side(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `_product` does where windows are a reshape of the input: one batched product of matrices."""
    rank, own, tied = spec.rank, tiling.own(spec), tiling.tied(spec)
    tiled = [size for pair in zip(spec.output_size, spec.kernel_size, strict=True) for size in pair]
    positions, taps = [1 + 2 * axis for axis in (*own, *tied)], [2 + 2 * axis for axis in range(rank)]
    split = tf.reshape(x, (_batch(x), *tiled, groups(spec), spec.group_channels))
    order = (*positions[: len(own)], 2 * rank + 1, *positions[len(own) :], 0, *taps, 2 * rank + 2)
    run = (0, math.prod(spec.output_size[axis] for axis in own))
    rows = tf.reshape(tf.transpose(split, order), (run[1] * groups(spec), -1, spec.fan_in))
    product = tf.matmul(rows, _matrices(spec, weight, run))
    return _by_axes(spec, _batch_first(spec, product, run[1], math.prod(spec.output_size) // run[1], _batch(x)))


def _at_once(spec: Spec, x: Any, weight: Any) -> Any:
    """Return what `_product` does, by one gather, padding being one more site that holds zeros."""
    sites = index_tables.sites(spec)
    flat = tf.reshape(x, (_batch(x), math.prod(spec.input_size), groups(spec) * spec.group_channels))
    if index_tables.reads_padding(spec, sites):
        flat = tf.pad(flat, ((0, 0), (0, 1), (0, 0)))
    shaped = tf.reshape(tf.gather(flat, sites, axis=1), (_batch(x), *index_tables.windows_shape(spec, 1)[1:]))
    kernels = (*spec.weight_size, math.prod(spec.kernel_size), spec.group_channels, groups(spec), width(spec))
    return tf.einsum(index_tables.PRODUCT, shaped, tf.reshape(weight, kernels))


def _differentiable(run: Callable[..., Any], spec: Spec, cotangents: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return the product `run` of two factors, compiled, with ``cotangents(first, second, cotangent of the product)``.

    Nothing of the compiled function is recorded: for its own gradient it would return copies of the factors.
    TensorFlow's gradients of complex numbers are conjugates, so the other factor comes conjugated.
    """
    compiled = tf.function(partial(run, spec), jit_compile=True)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def product(first: Any, second: Any) -> Any:
        result = compiled(tf.stop_gradient(first), tf.stop_gradient(second))
        return result, lambda given: cotangents(tf.math.conj(first), tf.math.conj(second), given)

    return product  # type: ignore[no-any-return]


@lru_cache(256)
def _output(spec: Spec) -> Callable[[Any, Any], Any]:
    """Return ``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``."""
    return _differentiable(
        _run_output,
        spec,
        lambda x, weight, dy: (_input_gradient(spec)(dy, weight), _weight_gradient(spec)(x, dy)),
    )


@lru_cache(256)
def _input_gradient(spec: Spec) -> Callable[[Any, Any], Any]:
    """Return ``(n, o*, g, co/g), (o*, k*, cg, co) -> (n, i*, g, cg)``."""
    return _differentiable(
        _run_input_gradient,
        spec,
        lambda dy, weight, ddx: (_output(spec)(ddx, weight), _weight_gradient(spec)(ddx, dy)),
    )


@lru_cache(256)
def _weight_gradient(spec: Spec) -> Callable[[Any, Any], Any]:
    """Return ``(n, i*, g, cg), (n, o*, g, co/g) -> (o*, k*, cg, co)``."""
    return _differentiable(
        _run_weight_gradient,
        spec,
        lambda x, dy, ddw: (_input_gradient(spec)(dy, ddw), _output(spec)(x, ddw)),
    )


def _run_output(spec: Spec, x: Any, weight: Any) -> Any:
    walk, sites, batch = _Walk(spec, x), _padded_layout(spec, x), _batch(x)
    wide = width(spec) >= (x.shape[0] or USUAL_BATCH)  # the longer side of a product goes last

    def tile(own: Run, tied: Run, y: Any) -> Any:
        windows, matrices = walk.gather(sites, own, tied), _matrices(spec, weight, own)
        if wide:
            part = tf.matmul(_stored(tf.transpose(windows, (0, 2, 1))), matrices)
            placed = _batch_first(spec, part, own[1], tied[1], batch)
        else:
            part = tf.matmul(matrices, windows, transpose_a=True)  # (own*g, co/g, tied*n)
            split = tf.reshape(part, (own[1], groups(spec), width(spec), tied[1], batch))
            placed = tf.transpose(split, (4, 0, 3, 1, 2))
        return _put(y, placed, (0, batch), own, tied)

    shape = (batch, len(walk.own), len(walk.tied), groups(spec), width(spec))
    return _by_axes(spec, walk.over(tile, tf.zeros(shape, x.dtype)))


def _run_input_gradient(spec: Spec, dy: Any, weight: Any) -> Any:
    walk, batch = _Walk(spec, dy), _batch(dy)

    def tile(own: Run, tied: Run, total: Any) -> Any:
        rows = _rows(spec, dy, own, tied)
        return walk.scatter(total, tf.matmul(_matrices(spec, weight, own), rows, transpose_b=True), own, tied)

    *sites, count, channels, _ = tiling.padded_shape(spec, 1)
    total = walk.over(tile, tf.zeros((math.prod(sites), count, channels, batch), dy.dtype))
    kept = tf.reshape(total, (*sites, count, channels, batch))[tiling.inside(spec)]
    return tf.transpose(kept, (spec.rank + 2, *range(spec.rank + 2)))


def _run_weight_gradient(spec: Spec, x: Any, dy: Any) -> Any:
    walk, sites = _Walk(spec, x), _padded_layout(spec, x)

    def tile(own: Run, tied: Run, dw: Any) -> Any:
        part = tf.matmul(walk.gather(sites, own, tied), _rows(spec, dy, own, tied))  # (own*g, k*cg, co/g)
        split = tf.transpose(tf.reshape(part, (own[1], groups(spec), spec.fan_in, width(spec))), (0, 2, 1, 3))
        return _put(dw, split + _cut(dw, own) if tied[1] < len(walk.tied) else split, own)

    dw = walk.over(tile, tf.zeros((len(walk.own), spec.fan_in, groups(spec), width(spec)), x.dtype))
    return tf.reshape(dw, spec.weight_shape)


class _Walk(tiling.Walk):
    """A loop over tiles of flat positions, and the windows of one."""

    def __init__(self, spec: Spec, x: Any) -> None:
        batch = USUAL_BATCH if x.shape[0] is None else x.shape[0]
        most = room(TILE_BYTES, BUDGET_BYTES, accelerated=_accelerated())
        super().__init__(spec, batch, x.dtype.size, most)
        self._spec, self._batch = spec, _batch(x)

    def _places(self, own: Run, tied: Run) -> Any:
        """``(o, k, t)``: the flat site each tap of each position of the tile sees."""
        first = _cut(tf.constant(self.own), own)[:, None] + self.taps
        return first[..., None] + _cut(tf.constant(self.tied), tied)

    def gather(self, sites: Any, own: Run, tied: Run) -> Any:
        """``(sites*, g*cg*n) -> (own*g, k*cg, tied*n)``: the windows of the tile."""
        *length, count, channels, _ = tiling.padded_shape(self._spec, 1)
        flat = tf.reshape(sites, (math.prod(length), count, channels, self._batch))  # before the loop: a copy
        ordered = tf.transpose(tf.gather(flat, self._places(own, tied)), (0, 3, 1, 4, 2, 5))  # of (o, k, t, g, cg, n)
        return tf.reshape(ordered, (own[1] * count, self._spec.fan_in, tied[1] * self._batch))

    def scatter(self, total: Any, windows: Any, own: Run, tied: Run) -> Any:
        """Add ``(own*g, k*cg, tied*n)`` to the flat sites ``(sites, g, cg, n)``: the adjoint of `gather`."""
        *_, count, channels, _ = tiling.padded_shape(self._spec, 1)
        split = tf.reshape(windows, (own[1], count, len(self.taps), channels, tied[1], self._batch))
        seen = tf.transpose(split, (0, 2, 4, 1, 3, 5))
        return tf.tensor_scatter_nd_add(total, self._places(own, tied)[..., None], seen)

    def repeat(self, count: int, body: Callable[[Any, Any], Any], carried: Any) -> Any:
        """Run a loop that XLA does not unroll."""
        step = lambda number, carried: (number + 1, body(number, carried))  # noqa: E731 -- the body as TensorFlow has it
        return tf.while_loop(lambda number, _: number < count, step, (0, carried))[1]


def _batch(array: Any) -> Any:
    return tf.shape(array)[0] if array.shape[0] is None else array.shape[0]


def _cut(array: Any, *runs: Run) -> Any:
    """Return ``array[start : start + length]`` along the first axes.

    Sizes are spelled out: of a slice to the end, XLA makes a copy of the whole, with as many zeros behind it.
    """
    sizes = zip(array.shape, tf.unstack(tf.shape(array)), strict=True)
    rest = [size if known is None else known for known, size in sizes][len(runs) :]
    starts = [start for start, _ in runs] + [0] * len(rest)
    return tf.slice(array, tf.stack(starts), tf.stack([length for _, length in runs] + rest))


def _put(array: Any, part: Any, *runs: Run) -> Any:
    """Return `array` with `part` written where `_cut` would read it, in place."""
    starts = [start for start, _ in runs] + [0] * (array.shape.rank - len(runs))
    return xla.dynamic_update_slice(array, part, tf.stack(starts))


def _stored(array: Any) -> Any:
    """Return `array`, in memory as it is: XLA would compute elements where they are read, from wherever they come."""
    return xla.optimization_barrier(array)[0]


def _padded_layout(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (sites*, g*cg*n)`` with zeros in the padding.

    By way of a matrix, and without axes of length 1: XLA would copy x as it is first.
    """
    batch, channels = _batch(x), groups(spec) * spec.group_channels
    last = tf.transpose(tf.reshape(x, (batch, math.prod(spec.input_size) * channels)))
    return tf.pad(tf.reshape(last, (*spec.input_size, channels * batch)), (*spec.padding, (0, 0)))


def _matrices(spec: Spec, weight: Any, own: Run) -> Any:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)`` of a run of positions."""
    flat = tf.reshape(weight, (math.prod(spec.weight_size), spec.fan_in, groups(spec), width(spec)))
    part = tf.transpose(_cut(flat, own), (0, 2, 1, 3))
    return tf.reshape(part, (own[1] * groups(spec), spec.fan_in, width(spec)))


def _rows(spec: Spec, dy: Any, own: Run, tied: Run) -> Any:
    """``(n, o*, g, co/g) -> (own*g, tied*n, co/g)`` of a tile."""
    axes, batch = [axis + 1 for axis in (*tiling.own(spec), *tiling.tied(spec))], _batch(dy)
    lengths = [math.prod(spec.output_size[axis] for axis in part) for part in (tiling.own(spec), tiling.tied(spec))]
    ordered = tf.transpose(dy, (0, *axes, spec.rank + 1, spec.rank + 2))
    flat = tf.reshape(ordered, (batch, *lengths, groups(spec), width(spec)))
    part = tf.transpose(_cut(flat, (0, batch), own, tied), (1, 3, 2, 0, 4))
    return tf.reshape(part, (own[1] * groups(spec), tied[1] * batch, width(spec)))


def _batch_first(spec: Spec, rows: Any, own: int, tied: int, batch: Any) -> Any:
    """``(own*g, tied*n, co/g) -> (n, own, tied, g, co/g)``."""
    split = tf.reshape(rows, (own, groups(spec), tied, batch, width(spec)))
    return tf.transpose(split, (3, 0, 2, 1, 4))


def _by_axes(spec: Spec, flat: Any) -> Any:
    """``(n, own, tied, g, co/g) -> (n, o*, g, co/g)``."""
    order = [*tiling.own(spec), *tiling.tied(spec)]
    split = tf.reshape(flat, (_batch(flat), *(spec.output_size[axis] for axis in order), groups(spec), width(spec)))
    return tf.transpose(split, (0, *(1 + order.index(axis) for axis in range(spec.rank)), spec.rank + 1, spec.rank + 2))
