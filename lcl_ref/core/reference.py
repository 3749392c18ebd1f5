"""The layer as SPEC.md defines it, written to be read.

Index names used throughout: ``n`` sample, ``o`` position, ``k`` tap, ``i`` input site, ``f`` output channel,
``c`` weight channel; ``o``, ``k`` and ``i`` stand for one index per spatial axis. ``table[f, c]`` is the input channel
that weight channel c of output channel f reads, ``g(f) * Cg + c`` for plain groups.

These functions take arrays that fit (`lcl_ref.api` checks and converts them) and compute in the dtype they are given:
float64, int64, or Python integers (dtype object), which are exact.
"""

from __future__ import annotations

import numpy as np

from lcl_ref.core.checks import Array
from lcl_ref.core.geometry import connections, weight_position
from lcl_ref.core.spec import Spec


def forward(spec: Spec, x: Array, weight: Array, bias: Array | None) -> Array:
    """``y[n, o, f] = b[o, f] + sum over k, c of x[n, o*stride + k*dilation - lo, table[f, c]] * w[o, k, c, f]``.

    Parameters
    ----------
    x : array
        ``(n, i*, ci)``.
    weight : array
        ``(o*, k*, cg, co)``.
    bias : array or None
        ``(o*, co)`` or ``(co,)``.

    Returns
    -------
    array
        ``(n, o*, co)``. SPEC clauses 1 to 7.
    """
    y = np.zeros(spec.y_shape(len(x)), x.dtype)
    for o, k, i in connections(spec):
        seen = x[:, *i][:, spec.channels]  # (n, co, cg)
        kernel = weight[*weight_position(spec, o), *k].T  # (co, cg)
        y[:, *o] += np.sum(seen * kernel, axis=-1)
    return y if bias is None else y + bias


def transpose(spec: Spec, y: Array, weight: Array) -> Array:
    """``xt[n, i, table[f, c]] = sum over o, k, f with o*stride + k*dilation - lo = i of y[n, o, f] * w[o, k, c, f]``.

    Parameters
    ----------
    y : array
        ``(n, o*, co)``.
    weight : array
        ``(o*, k*, cg, co)``.

    Returns
    -------
    array
        ``(n, i*, ci)``: the adjoint of `forward` in x. SPEC clause 9.4.
    """
    xt = np.zeros(spec.x_shape(len(y)), y.dtype)
    for o, k, i in connections(spec):
        kernel = weight[*weight_position(spec, o), *k].T  # (co, cg)
        for f, channels in enumerate(spec.channels):
            xt[:, *i, channels] += y[:, *o, f, None] * kernel[f]
    return xt


def weight_gradient(spec: Spec, x: Array, dy: Array) -> Array:
    """``dw[o, k, c, f] = sum over n of x[n, o*stride + k*dilation - lo, table[f, c]] * dy[n, o, f]``.

    Along a shared axis the sum runs over o as well, and o is 0 in dw.

    Parameters
    ----------
    x : array
        ``(n, i*, ci)``.
    dy : array
        ``(n, o*, co)``.

    Returns
    -------
    array
        ``(o*, k*, cg, co)``. SPEC clause 9.2.
    """
    dw = np.zeros(spec.weight_shape, x.dtype)
    for o, k, i in connections(spec):
        seen = x[:, *i][:, spec.channels]  # (n, co, cg)
        dw[*weight_position(spec, o), *k] += np.sum(seen * dy[:, *o, :, None], axis=0).T
    return dw


def bias_gradient(spec: Spec, dy: Array) -> Array | None:
    """``db[o, f] = sum over n of dy[n, o, f]``, and over o for a bias per channel; None without bias (SPEC 9.3)."""
    if spec.bias == "none":
        return None
    db: Array = np.sum(dy, axis=0)
    return db if spec.bias == "position" else np.sum(db, axis=tuple(range(spec.rank)))


def vjp(spec: Spec, x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array | None]:
    """Return the gradients ``(dx, dw, db)`` of `forward` at (x, weight), given the cotangent dy of y (SPEC 9)."""
    return transpose(spec, dy, weight), weight_gradient(spec, x, dy), bias_gradient(spec, dy)
