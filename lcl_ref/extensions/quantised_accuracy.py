"""How far the quantised layer may lie from its exact value, and that from the layer in real numbers (SPEC 14.8)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core import batched
from lcl_ref.core.checks import Array
from lcl_ref.extensions.quantised import Quantised

FACTORS = 4
"""Roundings an exact sum passes on its way to the result: to float32, by two scales, and with the bias."""


def limit(layer: Quantised, sums: Array, x_scale: float) -> NDArray[np.float64]:
    """Return how far a right `forward` in float32 may lie from its exact value, given the exact integer part.

    A sum passes `FACTORS` roundings, the bias one: ``gamma(4) * (|x_scale * scale * sums| + |bias|)``, in any order of
    the scales, plus one underflow each.

    Parameters
    ----------
    layer : Quantised
        The layer.
    sums : array of int32
        ``(n, o*, co)``, as `integer_part` returns.
    x_scale : float
        The scale of x.

    Returns
    -------
    array of float64
        ``(n, o*, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import quantised, quantised_accuracy
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([0.5, -1.0, 2.0, 4.0]).reshape(spec.weight_shape)
    >>> layer, x = quantised.prepare(spec, weight, None), np.array([[[127], [0], [-127]]], np.int8)
    >>> sums = quantised.integer_part(layer, x)
    >>> bool((quantised_accuracy.limit(layer, sums, 0.01) < 1e-5).all())
    True
    """
    unit = 2.0**-24  # of float32
    size = np.abs(sums.astype(np.float64)) * layer.scale.astype(np.float64) * float(x_scale)
    if layer.bias is not None:
        size = size + np.abs(layer.bias.astype(np.float64))
    allowed: NDArray[np.float64] = FACTORS * unit / (1 - FACTORS * unit) * size + FACTORS * 2.0**-150
    return allowed


def distance(layer: Quantised, x: Array, x_scale: float) -> NDArray[np.float64]:
    """Return how far the exact quantised layer may lie from the layer in real numbers.

    A weight is off by at most half a step of its scale, and so is an input, so an output is off by at most
    ``sum |x| * scale/2 + sum |rounded weight| * x_scale/2``.

    Parameters
    ----------
    layer : Quantised
        The layer.
    x : array
        ``(n, i*, ci)``, real, before it is quantised.
    x_scale : float
        The scale it is quantised by.

    Returns
    -------
    array of float64
        ``(n, o*, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import quantised, quantised_accuracy
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([0.5, -1.0, 2.0, 4.0]).reshape(spec.weight_shape)
    >>> layer, x = quantised.prepare(spec, weight, None), np.array([[[1.27], [0.0], [-1.27]]])
    >>> quantised_accuracy.distance(layer, x, 0.01).round(3)[0, :, 0].tolist()
    [0.013, 0.05]
    """
    spec, step = layer.spec, layer.scale.astype(np.float64)
    without = None if spec.bias_shape is None else np.zeros(spec.bias_shape)
    seen = batched.forward(spec, np.abs(x.astype(np.float64)), np.ones(spec.weight_shape), without)
    weights = np.abs(layer.weight.astype(np.float64))
    used = batched.forward(spec, np.ones(x.shape), weights, without) * step
    grown: NDArray[np.float64] = (seen * step + used * float(x_scale)) / 2
    return grown * (1 + math.ldexp(1, -40))  # the division by the scale, and these sums, are rounded too
