"""The layer in JAX, a tile of positions at a time, as operations that JAX can differentiate, transpose and map.

A layer is bilinear in input and weight, and has three products: the output, the gradient of the input, the gradient
of the weight. Each is a primitive of JAX here, and the derivatives of each are the other two; so every mode and order
of differentiation runs tile by tile, and nothing is kept from one pass for the next but the operands. Autodiff of the
loop itself would keep the windows of every tile.

Inside, positions are flat (`lcl_ref.layers.engines.tiling.Walk`). Sites come with the batch last, so that a site of all
samples is one run of memory: gathering windows, and adding up the gradients they leave behind, move such runs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce, wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import jax_beside, jax_kernel, tiling
from lcl_ref.layers.engines.accelerators.plans import BUDGET_BYTES, room
from lcl_ref.layers.engines.index_tables import groups, width
from lcl_ref.layers.engines.jax_operands import accelerated, add_bias
from lcl_ref.layers.engines.tiling import Run

TILE_BYTES = 2 << 20
"""Aim for the windows of one tile."""

_matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)


def _output(x: Any, weight: Any, *, spec: Spec) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``."""
    if tiling.side_by_side(spec):
        return jax_beside.product(spec, x, weight)
    walk, sites = _Walk(spec, len(x), x.dtype.itemsize), _padded_layout(spec, x)
    wide = width(spec) >= len(x)  # the longer side of a product goes last

    def tile(own: Any, tied: Any, y: Any) -> Any:
        windows, matrices = walk.gather(sites, own, tied), _matrices(spec, weight, own)
        if wide:
            split = _matmul(windows.mT, matrices).reshape(own[1], groups(spec), tied[1], len(x), width(spec))
            part = split.transpose(3, 0, 2, 1, 4)
        else:
            split = _matmul(matrices.mT, windows).reshape(own[1], groups(spec), width(spec), tied[1], len(x))
            part = split.transpose(4, 0, 3, 1, 2)
        return _put(y, part, 0, own, tied)

    shape = (len(x), len(walk.own), len(walk.tied), groups(spec), width(spec))
    return _from_rows(spec, walk.over(tile, jnp.zeros(shape, x.dtype)))


def _biased_output(x: Any, weight: Any, bias: Any, *, spec: Spec) -> Any:
    """Return what `_output` does, with a bias ``(o*, co)`` or ``(co,)``."""
    return add_bias(_output(x, weight, spec=spec), bias)


def _input_gradient(dy: Any, weight: Any, *, spec: Spec) -> Any:
    """``(n, o*, g, co/g), (o*, k*, cg, co) -> (n, i*, g, cg)``."""
    if tiling.side_by_side(spec):
        return jax_beside.input_gradient(spec, dy, weight)
    walk = _Walk(spec, len(dy), dy.dtype.itemsize)

    def tile(own: Any, tied: Any, total: Any) -> Any:
        columns = _rows(spec, dy, own, tied).mT
        return walk.scatter(total, _matmul(_matrices(spec, weight, own), columns), own, tied)

    *sites, count, channels, batch = tiling.padded_shape(spec, len(dy))
    return _unpadded(spec, walk.over(tile, jnp.zeros((math.prod(sites), count * channels, batch), dy.dtype)))


def _weight_gradient(x: Any, dy: Any, *, spec: Spec) -> Any:
    """``(n, i*, g, cg), (n, o*, g, co/g) -> (o*, k*, cg, co)``."""
    if tiling.side_by_side(spec):
        return jax_beside.weight_gradient(spec, x, dy)
    walk, sites = _Walk(spec, len(x), x.dtype.itemsize), _padded_layout(spec, x)

    def tile(own: Any, tied: Any, dw: Any) -> Any:
        here = _rows(spec, dy, own, tied)
        part = _matmul(walk.gather(sites, own, tied), here)  # (own*g, k*cg, co/g)
        split = part.reshape(own[1], groups(spec), *part.shape[1:]).swapaxes(1, 2)
        return _put(dw, split + _cut(dw, own) if tied[1] < len(walk.tied) else split, own)

    shape = (len(walk.own), spec.fan_in, groups(spec), width(spec))
    return walk.over(tile, jnp.zeros(shape, x.dtype)).reshape(spec.weight_shape)


class _Walk(tiling.Walk):
    """A loop over tiles of flat positions, and the windows of one."""

    def __init__(self, spec: Spec, batch: int, itemsize: int) -> None:
        super().__init__(spec, batch, itemsize, room(TILE_BYTES, BUDGET_BYTES, accelerated=accelerated()))
        self._spec = spec

    def _places(self, own: Run, tied: Run) -> Any:
        """``(o, k, t)``: the flat site each tap of each position of the tile sees."""
        first = _cut(jnp.asarray(self.own), own)[:, None] + self.taps
        return first[..., None] + _cut(jnp.asarray(self.tied), tied)

    def gather(self, sites: Any, own: Run, tied: Run) -> Any:
        """``(sites, g * cg, n) -> (own*g, k*cg, tied*n)``: the windows of the tile."""
        count, channels, batch = groups(self._spec), self._spec.group_channels, sites.shape[-1]
        seen = sites.at[self._places(own, tied)].get(mode="promise_in_bounds")
        split = seen.reshape(*seen.shape[:3], count, channels, batch).transpose(0, 3, 1, 4, 2, 5)
        return split.reshape(own[1] * count, self._spec.fan_in, tied[1] * batch)

    def scatter(self, total: Any, windows: Any, own: Run, tied: Run) -> Any:
        """Add ``(own*g, k*cg, tied*n)`` to the sites ``(sites, g * cg, n)``: the adjoint of `gather`."""
        count, taps, batch = groups(self._spec), len(self.taps), total.shape[-1]
        channels = total.shape[1] // count
        split = windows.reshape(own[1], count, taps, channels, tied[1], batch).transpose(0, 2, 4, 1, 3, 5)
        seen = split.reshape(own[1], taps, tied[1], total.shape[1], batch)
        return total.at[self._places(own, tied)].add(seen, mode="promise_in_bounds")

    def repeat(self, count: int, body: Callable[[Any, Any], Any], carried: Any) -> Any:
        """Run a loop that XLA does not unroll."""
        return lax.fori_loop(0, count, body, carried)


def _cut(array: Any, *runs: Run | int) -> Any:
    """Return ``array[start : start + length]`` along the first axes; an axis given as 0 is taken whole."""
    lengths = [size if isinstance(run, int) else run[1] for run, size in zip(runs, array.shape, strict=False)]
    return lax.dynamic_slice(array, _starts(array, runs), lengths + list(array.shape[len(runs) :]))


def _put(array: Any, part: Any, *runs: Run | int) -> Any:
    """Return `array` with `part` written where `_cut` would read it, in place."""
    return lax.dynamic_update_slice(array, part, _starts(array, runs))


def _starts(array: Any, runs: Sequence[Run | int]) -> list[Any]:
    return [0 if isinstance(run, int) else run[0] for run in runs] + [0] * (array.ndim - len(runs))


def _padded_layout(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (sites, g * cg, n)`` with zeros in the padding; XLA would copy an axis of one group twice."""
    channels = x.shape[-2] * x.shape[-1]
    seen = jnp.pad(x.reshape(*x.shape[:-2], channels), ((0, 0), *spec.padding, (0, 0)))
    sites = math.prod(seen.shape[1:-1])
    return seen.reshape(len(x), sites * channels).T.reshape(sites, channels, len(x))


def _unpadded(spec: Spec, total: Any) -> Any:
    """``(sites, g * cg, n) -> (n, i*, g, cg)``: the adjoint of `_padded_layout`."""
    sites = total.reshape(tiling.padded_shape(spec, total.shape[-1]))
    return jnp.moveaxis(sites[tiling.inside(spec)], -1, 0)


def _matrices(spec: Spec, weight: Any, own: Run) -> Any:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)`` of a run of positions."""
    part = _cut(weight.reshape(-1, spec.fan_in, groups(spec), width(spec)), own).swapaxes(1, 2)
    return part.reshape(-1, *part.shape[2:])


def _rows(spec: Spec, dy: Any, own: Run, tied: Run) -> Any:
    """``(n, o*, g, co/g) -> (own*g, tied*n, co/g)`` of a tile."""
    parts = tiling.own(spec), tiling.tied(spec)
    lengths = (math.prod(spec.output_size[axis] for axis in part) for part in parts)
    ordered = dy.transpose(0, *(axis + 1 for part in parts for axis in part), spec.rank + 1, spec.rank + 2)
    part = _cut(ordered.reshape(len(dy), *lengths, *dy.shape[-2:]), 0, own, tied).transpose(1, 3, 2, 0, 4)
    return part.reshape(own[1] * dy.shape[-2], tied[1] * len(dy), dy.shape[-1])


def _from_rows(spec: Spec, y: Any) -> Any:
    """``(n, own, tied, g, co/g) -> (n, o*, g, co/g)``."""
    order = [*tiling.own(spec), *tiling.tied(spec)]
    split = y.reshape(len(y), *(spec.output_size[axis] for axis in order), *y.shape[-2:])
    back = [order.index(axis) + 1 for axis in range(spec.rank)]
    return split.transpose(0, *back, spec.rank + 1, spec.rank + 2)


def _rounded_once(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes half types in float32, and rounds its result once."""

    @wraps(run)
    def rounded(*operands: Any, **how: Any) -> Any:
        dtype = operands[0].dtype
        wide = [operand.astype(jnp.promote_types(dtype, jnp.float32)) for operand in operands]
        return run(*wide, **how).astype(dtype)

    return rounded


_add_bias = _rounded_once(add_bias)


def _primitive(run: Callable[..., Any], shape: Callable[[int, Spec], Sequence[int]]) -> Any:
    """Return a primitive computed by `run`, of a result of `shape` for a batch size."""
    run = _rounded_once(run)
    primitive = Primitive(f"lcl{run.__name__}")
    primitive.def_impl(compiled(primitive, "spec"))
    primitive.def_abstract_eval(lambda first, *_, spec: first.update(shape=tuple(shape(first.shape[0], spec))))
    plain = mlir.lower_fun(run, multiple_results=False)
    mlir.register_lowering(primitive, plain)
    mlir.register_lowering(primitive, jax_kernel.lowering(run.__name__.removeprefix("_"), plain), platform="cpu")
    batching.primitive_batchers[primitive] = partial(_mapped, primitive, run)
    return primitive


def _mapped(primitive: Any, run: Callable[..., Any], operands: Any, axes: Any, *, spec: Spec) -> Any:
    """Run a product for mapped elements: at once where it is one product of XLA's, which maps it well."""
    if tiling.side_by_side(spec):
        return jax.vmap(partial(run, spec=spec), axes)(*operands), 0
    return mapped(primitive, operands, axes, spec=spec)


def compiled(primitive: Any, *names: str) -> Callable[..., Any]:
    """Return a primitive as a program of its own; also under `jax.disable_jit`, where it would call itself for ever."""
    program = jax.jit(primitive.bind, static_argnames=names)

    def call(*operands: Any, **how: Any) -> Any:
        with jax.disable_jit(disable=False):
            return program(*operands, **how)

    return call


def mapped(primitive: Any, operands: Any, axes: Any, **how: Any) -> Any:
    """Run a primitive once per mapped element: each call fills the machine already."""
    moves_along = [axis is not None for axis in axes]
    moving = [jnp.moveaxis(array, axis, 0) for array, axis in zip(operands, axes, strict=True) if axis is not None]

    def one(slices: Any) -> Any:
        left = iter(slices)
        chosen = [next(left) if moves else operand for operand, moves in zip(operands, moves_along, strict=True)]
        return primitive.bind(*chosen, **how)

    return lax.map(one, moving), 0


def _output_shape(batch: int, spec: Spec) -> Sequence[int]:
    return batch, *spec.output_size, groups(spec), width(spec)


OUTPUT = _primitive(_output, _output_shape)
BIASED_OUTPUT = _primitive(_biased_output, _output_shape)
INPUT_GRADIENT = _primitive(
    _input_gradient, lambda batch, spec: (batch, *spec.input_size, groups(spec), spec.group_channels)
)
WEIGHT_GRADIENT = _primitive(_weight_gradient, lambda _, spec: spec.weight_shape)

ad.defbilinear(
    OUTPUT,
    lambda dy, _, weight, spec: INPUT_GRADIENT.bind(dy, weight, spec=spec),
    lambda dy, x, _, spec: WEIGHT_GRADIENT.bind(x, dy, spec=spec),
)
ad.defbilinear(
    INPUT_GRADIENT,
    lambda dx, _, weight, spec: OUTPUT.bind(dx, weight, spec=spec),
    lambda dx, dy, _, spec: WEIGHT_GRADIENT.bind(dx, dy, spec=spec),
)
ad.defbilinear(
    WEIGHT_GRADIENT,
    lambda dw, _, dy, spec: INPUT_GRADIENT.bind(dy, dw, spec=spec),
    lambda dw, x, _, spec: OUTPUT.bind(x, dw, spec=spec),
)


def _tangent(primals: Any, tangents: Any, *, spec: Spec) -> tuple[Any, Any]:
    """Return the output and its tangent, by the products that do not need the bias."""
    x, weight, _ = primals
    dx, dweight, dbias = (None if type(tangent) is ad.Zero else tangent for tangent in tangents)
    y = BIASED_OUTPUT.bind(*primals, spec=spec)
    terms = [] if dx is None else [OUTPUT.bind(dx, weight, spec=spec)]
    terms += [] if dweight is None else [OUTPUT.bind(x, dweight, spec=spec)]
    total = reduce(operator.add, terms) if terms else jnp.zeros_like(y)
    return y, total if dbias is None else _add_bias(total, dbias)


def _cotangents(dy: Any, x: Any, weight: Any, bias: Any, *, spec: Spec) -> tuple[Any, Any, Any]:
    """Return those of the operands that are asked for, of which the output is taken for a linear function."""
    of_x, of_weight, of_bias = map(ad.is_undefined_primal, (x, weight, bias))
    return (
        INPUT_GRADIENT.bind(dy, weight, spec=spec) if of_x else None,
        WEIGHT_GRADIENT.bind(x, dy, spec=spec) if of_weight else None,
        jax.linear_transpose(partial(_add_bias, jnp.zeros_like(dy)), bias.aval)(dy)[0] if of_bias else None,
    )


ad.primitive_jvps[BIASED_OUTPUT] = _tangent
ad.primitive_transposes[BIASED_OUTPUT] = _cotangents
