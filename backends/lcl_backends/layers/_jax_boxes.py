"""The layer in JAX, a box of positions at a time, as operations that JAX can differentiate, transpose and map.

A layer is bilinear in input and weight, and has three products: the output, the cotangent of the input, the cotangent
of the weight. Each is a primitive of JAX here, and the derivatives of each are the other two; so every mode and order
of differentiation runs box by box, and nothing is kept from one pass for the next but the operands. Autodiff of the
loop itself would keep the windows of every box.

Inside, positions are flat (`lcl_backends._boxes.Walk`). Sites come with the batch last, so that a site of all samples
is one run of memory: gathering windows, and adding up the cotangents they leave behind, move such runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lcl_backends import _boxes
from lcl_backends._patches import groups
from lcl_ref.spec import Spec

BOX_BYTES = 2 << 20
"""Aim for the windows of one box."""

_matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)

Run = tuple[Any, int]
"""Where some positions start, and how many: the length is static."""


def _output(x: Any, weight: Any, *, spec: Spec) -> Any:
    """``(n, i*, g, cg), (o*, k*, cg, co) -> (n, o*, g, co/g)``."""
    walk, sites = _Walk(spec, len(x), x.dtype.itemsize), _laid_out(spec, x)
    wide = _width(spec) >= len(x)  # the longer side of a product goes last
    sides = (len(x), _width(spec)) if wide else (_width(spec), len(x))

    def box(own: Any, tied: Any, y: Any) -> Any:
        windows, matrices = walk.gather(sites, own, tied), _matrices(spec, weight, own)
        if wide:
            split = _matmul(windows.mT, matrices).reshape(own[1], groups(spec), tied[1], *sides)
        else:  # no transposition and back, which XLA would undo by exchanging the factors
            split = _matmul(matrices.mT, windows).reshape(own[1], groups(spec), sides[0], tied[1], sides[1])
            split = split.swapaxes(2, 3)
        return _put(y, split, own, 0, tied)

    y = walk.over(box, jnp.zeros((len(walk.own), groups(spec), len(walk.tied), *sides), x.dtype))
    return _from_rows(spec, y if wide else y.swapaxes(-1, -2))


def _input_cotangent(dy: Any, weight: Any, *, spec: Spec) -> Any:
    """``(n, o*, g, co/g), (o*, k*, cg, co) -> (n, i*, g, cg)``."""
    walk, rows = _Walk(spec, len(dy), dy.dtype.itemsize), _rows(spec, dy)

    def box(own: Any, tied: Any, total: Any) -> Any:
        columns = _rows_of(rows, own, tied).mT
        return walk.scatter(total, _matmul(_matrices(spec, weight, own), columns), own, tied)

    *sites, count, width, batch = _boxes.laid_out_shape(spec, len(dy))
    total = walk.over(box, jnp.zeros((math.prod(sites), count, width, batch), dy.dtype))
    return jnp.moveaxis(total.reshape(*sites, count, width, batch)[_boxes.inside(spec)], -1, 0)


def _weight_cotangent(x: Any, dy: Any, *, spec: Spec) -> Any:
    """``(n, i*, g, cg), (n, o*, g, co/g) -> (o*, k*, cg, co)``."""
    walk, sites, rows = _Walk(spec, len(x), x.dtype.itemsize), _laid_out(spec, x), _rows(spec, dy)

    def box(own: Any, tied: Any, dw: Any) -> Any:
        here = _rows_of(rows, own, tied)
        part = _matmul(walk.gather(sites, own, tied), here)  # (own*g, k*cg, co/g)
        split = part.reshape(own[1], groups(spec), *part.shape[1:]).swapaxes(1, 2)
        return _put(dw, split + _cut(dw, own) if tied[1] < len(walk.tied) else split, own)

    shape = (len(walk.own), spec.fan_in, groups(spec), _width(spec))
    return walk.over(box, jnp.zeros(shape, x.dtype)).reshape(spec.weight_shape)


class _Walk(_boxes.Walk):
    """A loop over boxes of flat positions, and the windows of one."""

    def __init__(self, spec: Spec, batch: int, itemsize: int) -> None:
        super().__init__(spec, batch, itemsize, BOX_BYTES)
        self._rank = spec.rank

    def _places(self, own: Run, tied: Run) -> Any:
        """``(o, k, t)``: the flat site each tap of each position of the box sees."""
        first = _cut(jnp.asarray(self.own), own)[:, None] + self.taps
        return first[..., None] + _cut(jnp.asarray(self.tied), tied)

    def gather(self, sites: Any, own: Run, tied: Run) -> Any:
        """``(sites*, g, cg, n) -> (own*g, k*cg, tied*n)``: the windows of the box."""
        length, (count, width, batch) = math.prod(sites.shape[: self._rank]), sites.shape[self._rank :]
        flat = sites.reshape(length, count, width, batch)  # here: flattened before the loop, it would be copied
        seen = flat.at[self._places(own, tied)].get(mode="promise_in_bounds")
        ordered = seen.transpose(0, 3, 1, 4, 2, 5)  # of the axes (o, k, t, g, cg, n)
        return ordered.reshape(own[1] * count, len(self.taps) * width, tied[1] * batch)

    def scatter(self, total: Any, windows: Any, own: Run, tied: Run) -> Any:
        """Add ``(own*g, k*cg, tied*n)`` to the flat sites ``(sites, g, cg, n)``: the adjoint of `gather`."""
        groups, width, batch = total.shape[1:]
        seen = windows.reshape(own[1], groups, len(self.taps), width, tied[1], batch).transpose(0, 2, 4, 1, 3, 5)
        return total.at[self._places(own, tied)].add(seen, mode="promise_in_bounds")

    def over(self, box: Callable[[Run, Run, Any], Any], held: Any) -> Any:
        """Return `held` after ``held = box(own, tied, held)`` of every box."""

        def row(own: Any, held: Any) -> Any:
            return _loop(len(self.tied), self.tied_length, lambda tied, held: box(own, tied, held), held)

        return _loop(len(self.own), self.own_length, row, held)


def _loop(total: int, length: int, body: Callable[[Any, Any], Any], held: Any) -> Any:
    """Return `held` after ``held = body((start, length), held)`` for every run; the first may be shorter."""
    count, rest = divmod(total, length)
    held = body((0, rest), held) if rest else held  # before the loop: behind it, XLA would copy what the loop has made
    if count == 1:
        return body((rest, length), held)
    return lax.fori_loop(0, count, lambda number, held: body((rest + number * length, length), held), held)


def _cut(array: Any, *runs: Run | int) -> Any:
    """Return ``array[start : start + length]`` along the first axes; an axis given as 0 is taken whole."""
    lengths = [size if run == 0 else run[1] for run, size in zip(runs, array.shape, strict=False)]
    return lax.dynamic_slice(array, _starts(array, runs), lengths + list(array.shape[len(runs) :]))


def _put(array: Any, part: Any, *runs: Run | int) -> Any:
    """Return `array` with `part` written where `_cut` would read it, in place."""
    return lax.dynamic_update_slice(array, part, _starts(array, runs))


def _starts(array: Any, runs: Sequence[Run | int]) -> list[Any]:
    return [0 if run == 0 else run[0] for run in runs] + [0] * (array.ndim - len(runs))


def _width(spec: Spec) -> int:
    """Return co/g."""
    return spec.out_channels // groups(spec)


def _laid_out(spec: Spec, x: Any) -> Any:
    """``(n, i*, g, cg) -> (sites*, g, cg, n)`` with zeros in the padding."""
    return jnp.pad(jnp.moveaxis(x, 0, -1), (*spec.padding, (0, 0), (0, 0), (0, 0)))


def _matrices(spec: Spec, weight: Any, own: Run) -> Any:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)`` of a run of positions."""
    part = _cut(weight.reshape(-1, spec.fan_in, groups(spec), _width(spec)), own).swapaxes(1, 2)
    return part.reshape(-1, *part.shape[2:])


def _rows(spec: Spec, dy: Any) -> Any:
    """``(n, o*, g, co/g) -> (own, g, tied, n, co/g)``."""
    own, tied = ([axis + 1 for axis in part] for part in (_boxes.own(spec), _boxes.tied(spec)))
    ordered = dy.transpose(*own, spec.rank + 1, *tied, 0, spec.rank + 2)
    lengths = math.prod(ordered.shape[: len(own)]), math.prod(ordered.shape[len(own) + 1 : spec.rank + 1])
    return ordered.reshape(lengths[0], ordered.shape[len(own)], lengths[1], *ordered.shape[spec.rank + 1 :])


def _rows_of(rows: Any, own: Run, tied: Run) -> Any:
    """``(own, g, tied, n, co/g) -> (own*g, tied*n, co/g)`` of a box."""
    part = _cut(rows, own, 0, tied)
    return part.reshape(part.shape[0] * part.shape[1], part.shape[2] * part.shape[3], part.shape[4])


def _from_rows(spec: Spec, rows: Any) -> Any:
    """``(own, g, tied, n, co/g) -> (n, o*, g, co/g)``: the inverse of `_rows`."""
    own, tied = ([spec.output_size[axis] for axis in part] for part in (_boxes.own(spec), _boxes.tied(spec)))
    split = rows.reshape(*own, rows.shape[1], *tied, *rows.shape[3:])
    order = [*_boxes.own(spec), spec.rank, *_boxes.tied(spec)]  # of the axes (o*, g)
    return split.transpose(spec.rank + 1, *map(order.index, range(spec.rank + 1)), spec.rank + 2)


def _primitive(run: Callable[..., Any], shape: Callable[[int, Spec], Sequence[int]]) -> Any:
    """Return a primitive computed by `run`, of a result of `shape` for a batch size."""
    primitive = Primitive(f"lcl{run.__name__}")
    primitive.def_impl(jax.jit(run, static_argnames="spec"))
    primitive.def_abstract_eval(lambda first, _, spec: first.update(shape=tuple(shape(first.shape[0], spec))))
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False))
    batching.primitive_batchers[primitive] = partial(_mapped, primitive)
    return primitive


def _mapped(primitive: Any, operands: Any, axes: Any, *, spec: Spec) -> Any:
    """Run a primitive once per mapped element: each call fills the machine already."""
    mapped = [axis is not None for axis in axes]
    moving = [jnp.moveaxis(array, axis, 0) for array, axis in zip(operands, axes, strict=True) if axis is not None]

    def one(slices: Any) -> Any:
        left = iter(slices)
        chosen = [next(left) if moves else held for held, moves in zip(operands, mapped, strict=True)]
        return primitive.bind(*chosen, spec=spec)

    return lax.map(one, moving), 0


OUTPUT = _primitive(
    _output, lambda batch, spec: (batch, *spec.output_size, groups(spec), spec.out_channels // groups(spec))
)
INPUT_COTANGENT = _primitive(
    _input_cotangent, lambda batch, spec: (batch, *spec.input_size, groups(spec), spec.group_channels)
)
WEIGHT_COTANGENT = _primitive(_weight_cotangent, lambda _, spec: spec.weight_shape)

ad.defbilinear(
    OUTPUT,
    lambda dy, _, weight, spec: INPUT_COTANGENT.bind(dy, weight, spec=spec),
    lambda dy, x, _, spec: WEIGHT_COTANGENT.bind(x, dy, spec=spec),
)
ad.defbilinear(
    INPUT_COTANGENT,
    lambda dx, _, weight, spec: OUTPUT.bind(dx, weight, spec=spec),
    lambda dx, dy, _, spec: WEIGHT_COTANGENT.bind(dx, dy, spec=spec),
)
ad.defbilinear(
    WEIGHT_COTANGENT,
    lambda dw, _, dy, spec: INPUT_COTANGENT.bind(dy, dw, spec=spec),
    lambda dw, x, _, spec: OUTPUT.bind(x, dw, spec=spec),
)
