"""Results of an edited plan: y, and the gradients automatic differentiation of that layer would give.

Everything is float64, hence exact on the integers of the exact cases. Shapes: ``n`` samples, ``o`` positions and ``k``
taps flattened.
"""

from __future__ import annotations

import math

import numpy as np

from lcl_ref.suite.diagnosis.deviations.hooks import Array, back, forth
from lcl_ref.suite.diagnosis.deviations.layer_plan import Plan, Refused, Sites, channel_blocks, sites
from lcl_ref.suite.judge.precision import ROUNDINGS


def forward(plan: Plan, x: Array, weight: Array, bias: Array | None) -> Array:
    """Return ``y (n, o*, co)`` of the edited layer."""
    batch, where = len(x), sites(plan.axes, plan.outside, len(x))
    patches = rounded(_patches(plan, where, x), plan.operands)
    kernels = rounded(_kernels(plan, where, weight), plan.operands)
    y = np.zeros((batch, *patches.shape[1:2], plan.out_channels))
    for row, outputs in channel_blocks(plan.channels):
        seen = patches[..., row].swapaxes(0, 1)  # (o, n, k, cg)
        mine = kernels[..., outputs].reshape(*_matrix(kernels), len(outputs))
        y[..., outputs] = _product(seen.reshape(*seen.shape[:2], mine.shape[1]), mine, plan.accumulator).swapaxes(0, 1)
    if plan.masked:
        y = np.where(_poisoned(plan, patches, forth(plan.on_x, x)), np.nan, y)
    y = forth(plan.on_sums, y.reshape(batch, *plan.positions, plan.out_channels))
    if bias is not None:
        y = y + _bias(plan, bias)
    return _finished(plan, forth(plan.on_y, y), batch)


def input_gradient(plan: Plan, weight: Array, dy: Array) -> Array:
    """Return ``dx (n, i*, ci)``; also what `transpose` gives for ``dy``."""
    batch, where = len(dy), sites(plan.axes, plan.outside, len(dy))
    rows = rounded(_rows(plan, dy), plan.operands)
    kernels = rounded(_kernels(plan, where, weight), plan.operands)
    patches = np.zeros((*where.index.shape, plan.in_channels))
    for row, outputs in channel_blocks(plan.channels):
        mine = kernels[..., outputs].reshape(*_matrix(kernels), len(outputs)).swapaxes(1, 2)
        parts = _product(rows[..., outputs].swapaxes(0, 1), mine, plan.accumulator)  # (o, n, k*cg)
        patches[..., row] += parts.reshape(*parts.shape[:2], kernels.shape[1], len(row)).swapaxes(0, 1)
    dx = _scattered(plan, where, patches, batch).reshape(batch, *plan.sizes, plan.in_channels)
    return _finished(plan, back(plan.on_x, dx), batch)


def weight_gradient(plan: Plan, x: Array, dy: Array, weight: Array) -> Array:
    """Return ``dw (o*, k*, cg, co)``; of `weight` only the shape is used."""
    batch, where = len(x), sites(plan.axes, plan.outside, len(x))
    patches = rounded(_patches(plan, where, x), plan.operands)
    rows = rounded(_rows(plan, dy), plan.operands)
    width = len(plan.channels[0])
    dw = np.zeros((*where.alive.shape, width, plan.out_channels))
    for row, outputs in channel_blocks(plan.channels):
        seen = patches[..., row].swapaxes(0, 1)
        flat = seen.reshape(*seen.shape[:2], where.alive.shape[1] * width).swapaxes(1, 2)  # (o, k*cg, n)
        parts = _product(flat, rows[..., outputs].swapaxes(0, 1), plan.accumulator)
        dw[..., outputs] = parts.reshape(*where.alive.shape, width, len(outputs))
    dw = np.where(where.alive[..., None, None], dw, 0.0)
    return _finished(plan, back(plan.on_weight, _tied(plan, dw, weight.shape)), batch)


def bias_gradient(plan: Plan, dy: Array, bias: Array) -> Array:
    """Return ``db``, shaped like the bias."""
    db = _outputs(plan, dy).sum(axis=0)
    if bias.ndim == 1:
        db = _reduced(plan, db, tuple(range(plan.rank)), keepdims=False)
    return _finished(plan, back(plan.on_bias, db), len(dy))


def rounded(array: Array, form: str) -> Array:
    """Return a float64 array rounded to `form`: tf32, bfloat16, float16, float32, or as it is for an empty name."""
    if not form:
        return array
    if form == "float32":
        return array.astype(np.float32).astype(np.float64)
    return ROUNDINGS[form](array)


def _finished(plan: Plan, result: Array, batch: int) -> Array:
    if plan.average:
        result = result / max(batch, 1)
    for step in plan.finish:
        result = step(result)
    return rounded(result, plan.stored)


def _patches(plan: Plan, where: Sites, x: Array) -> Array:
    """Return ``(n, o, k, ci)``: what each tap of each position reads."""
    flat = forth(plan.on_x, x).reshape(-1, plan.in_channels)
    return np.concatenate([flat, np.zeros((1, plan.in_channels))])[where.index]


def _kernels(plan: Plan, where: Sites, weight: Array) -> Array:
    """Return ``(o, k, cg, co)``: the weights of every position, 0 where a tap reads nothing: no 0*inf."""
    mapped = forth(plan.on_weight, weight)
    wanted = (*plan.positions, *plan.kernel, *weight.shape[-2:])
    wanted_positions = tuple(1 if axis.shared else axis.positions for axis in plan.axes)
    if weight.shape[: plan.rank] != wanted_positions:
        raise Refused(f"weights for positions {weight.shape[: plan.rank]}, wanted {plan.positions}")
    kernels = np.broadcast_to(mapped, wanted).reshape(*where.alive.shape, *weight.shape[-2:])
    return np.where(where.alive[..., None, None], kernels, 0.0)


def _poisoned(plan: Plan, patches: Array, x: Array) -> Array:
    """Return ``(n, o, co)``: whether an inf or NaN of the sample is not connected to it, but multiplied by 0."""
    strange = ~np.isfinite(patches)
    seen = np.zeros((*patches.shape[:2], plan.out_channels), np.intp)
    for row, outputs in channel_blocks(plan.channels):
        seen[..., outputs] = strange[..., row].sum(axis=(2, 3))[..., None]
    total = (~np.isfinite(x)).sum(axis=tuple(range(1, x.ndim)))
    return np.asarray(seen < total[:, None, None])


def _matrix(kernels: Array) -> tuple[int, int]:
    return kernels.shape[0], kernels.shape[1] * kernels.shape[2]


def _bias(plan: Plan, bias: Array) -> Array:
    if bias.ndim > 1 and bias.shape[:-1] != plan.positions:
        raise Refused(f"bias for positions {bias.shape[:-1]}, wanted {plan.positions}")
    return forth(plan.on_bias, bias)


def _outputs(plan: Plan, dy: Array) -> Array:
    """Return the cotangent ``(n, o*, co)`` of the sums with their bias."""
    if dy.shape[1:-1] != plan.positions:
        raise Refused(f"cotangent for positions {dy.shape[1:-1]}, wanted {plan.positions}")
    return back(plan.on_y, dy)


def _rows(plan: Plan, dy: Array) -> Array:
    """Return the cotangent of the sums, ``(n, o, co)``."""
    sums = back(plan.on_sums, _outputs(plan, dy))
    return sums.reshape(len(dy), math.prod(plan.positions), plan.out_channels)


def _product(left: Array, right: Array, accumulator: str) -> Array:
    """Return ``left @ right``; with an `accumulator`, one product at a time and each partial sum rounded to it."""
    if not accumulator:
        return left @ right
    total = np.zeros((*left.shape[:-1], right.shape[-1]))
    for term in range(left.shape[-1]):
        product = rounded(left[..., term, None] * right[..., None, term, :], accumulator)
        total = rounded(total + product, accumulator)
    return total


def _scattered(plan: Plan, where: Sites, patches: Array, batch: int) -> Array:
    """Bring the gradients of patches ``(n, o, k, ci)`` home to the sites they were read from."""
    rows = batch * math.prod(plan.sizes)
    if plan.overlap == "overwrite":
        dx = np.zeros((rows + 1, plan.in_channels))
        for position in range(patches.shape[1]):
            dx[where.index[:, position]] = patches[:, position]
        return dx[:-1]
    target = where.index[..., None] * plan.in_channels + np.arange(plan.in_channels)
    sums = np.bincount(target.reshape(-1), patches.reshape(-1), (rows + 1) * plan.in_channels)
    return sums[: rows * plan.in_channels]


def _tied(plan: Plan, dw: Array, shape: tuple[int, ...]) -> Array:
    """Return dw with the positions of shared axes reduced to one."""
    full = dw.reshape(*plan.positions, *plan.kernel, *dw.shape[-2:])
    shared = tuple(number for number, axis in enumerate(plan.axes) if axis.shared)
    reduced = _reduced(plan, full, shared, keepdims=True)
    if reduced.shape != shape:
        raise Refused(f"weights of shape {shape}, wanted {reduced.shape}")
    return reduced


def _reduced(plan: Plan, array: Array, axes: tuple[int, ...], *, keepdims: bool) -> Array:
    """Reduce position axes to one by the plan's rule: their sum, or what the first or last position says."""
    if plan.tie == "sum":
        return np.sum(array, axis=axes, keepdims=keepdims) if axes else array
    pick = 0 if plan.tie == "first" else -1
    picked = array
    for number in axes:
        picked = np.take(picked, [pick], axis=number)
    return picked if keepdims else picked.reshape(picked.shape[len(axes) :])
