"""The quantised layer: int8 weights and inputs, exact int32 sums, one scale per position and output channel.

SPEC clause 14.8. The zero point is 0, so that a tap in the padding still contributes nothing. The integer part has one
right answer; the scaled result has a limit, and so has its distance from the layer in real numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.checks import Array, check
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LclError, Violation
from lcl_ref.extensions._namespace import namespace
from lcl_ref.extensions.pruned import Table, keep
from lcl_ref.extensions.pruned import forward as gathered
from lcl_ref.extensions.pruned import pack as packed

LARGEST = 127
"""Of int8 in use: -128 has no opposite."""

MOST_TERMS = (2**31 - 1) // LARGEST**2
"""Products per output that int32 holds, whatever they are: 133144."""

PER = ("layer", "position", "position and output")
"""Which weights share a scale."""


@dataclass(frozen=True)
class Quantised:
    """A layer ready to run in integers.

    Parameters
    ----------
    spec : Spec
        The layer.
    weight : array of int8
        ``(o*, k*, cg, co)``.
    scale : array of float32
        ``(o*, co)``, or 1 along the axes that share a scale: a real weight is about ``scale * weight``.
    bias : array of float32 or None
        ``(o*, co)`` or ``(co,)``.
    table : Table
        Which input each weight reads.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import quantised
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([0.5, -1.0, 2.0, 4.0]).reshape(spec.weight_shape)
    >>> layer = quantised.prepare(spec, weight, None)
    >>> layer.weight[..., 0, 0]
    array([[  64, -127],
           [  64,  127]], dtype=int8)
    >>> layer.scale.shape
    (2, 1)
    """

    spec: Spec
    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    table: Table


def quantise(values: Array, scale: Array) -> NDArray[np.int8]:
    """Return the nearest multiples of `scale`, ties to even, as int8 from -127 to 127.

    Parameters
    ----------
    values : array
        Real numbers.
    scale : array
        What one step is worth; broadcast with `values`.

    Returns
    -------
    array of int8
        Shaped like `values`.

    Examples
    --------
    >>> import numpy as np
    >>> from lcl_ref.extensions import quantised
    >>> quantised.quantise(np.array([0.5, 1.5, 1000.0]), np.array(1.0)).tolist()
    [0, 2, 127]
    """
    steps = np.rint(values.astype(np.float64) / scale.astype(np.float64))
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8)


def scale_of(values: Array, axes: tuple[int, ...] | None = None) -> NDArray[np.float32]:
    """Return the scale at which the largest magnitude becomes 127: ``max |values| / 127``; 1 where all are 0.

    Parameters
    ----------
    values : array
        Real numbers.
    axes : tuple of int, optional
        Axes along which values share a scale; all by default.

    Returns
    -------
    array of float32
        With length 1 along `axes`.

    Examples
    --------
    >>> import numpy as np
    >>> from lcl_ref.extensions import quantised
    >>> quantised.scale_of(np.array([[-254.0, 127.0], [0.0, 0.0]]), (1,)).tolist()
    [[2.0], [1.0]]
    """
    peak = np.abs(values.astype(np.float64)).max(axis=axes, keepdims=True, initial=0)
    return (np.where(peak == 0, LARGEST, peak) / LARGEST).astype(np.float32)


def prepare(spec: Spec, weight: Array, bias: Array | None, per: str = PER[-1]) -> Quantised:
    """Quantise the weights of a layer.

    Parameters
    ----------
    spec : Spec
        The layer.
    weight : array
        ``(o*, k*, cg, co)``, real.
    bias : array or None
        ``(o*, co)`` or ``(co,)``; kept in float32.
    per : {"position and output", "position", "layer"}
        Which weights share a scale.

    Returns
    -------
    Quantised
        What `integer_part`, `forward` and `lcl_ref.extensions.quantised_accuracy` take.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`.
    LclError
        If `per` is none of `PER`, or the layer has so many products per output that int32 could overflow.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import quantised
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([0.5, -1.0, 2.0, 4.0]).reshape(spec.weight_shape)
    >>> quantised.prepare(spec, weight, None).weight[..., 0, 0]
    array([[  64, -127],
           [  64,  127]], dtype=int8)
    >>> quantised.prepare(spec, weight, None, per="layer").weight[..., 0, 0]
    array([[ 16, -32],
           [ 64, 127]], dtype=int8)
    """
    check(spec, weight=weight, bias=bias)
    if per not in PER:
        raise LclError(Violation("quantised/per", "per", repr(per), f"one of {PER}"))
    if spec.fan_in > MOST_TERMS:
        got = f"{spec.fan_in} products per output"
        raise LclError(Violation("quantised/terms", "spec", got, f"at most {MOST_TERMS} = (2^31 - 1) // 127^2"))
    taps = tuple(range(spec.rank, 2 * spec.rank + 1))
    outputs = (2 * spec.rank + 1,)
    axes = {"layer": None, "position": taps + outputs, "position and output": taps}[per]
    scale = scale_of(weight, axes)
    kept = None if bias is None else bias.astype(np.float32)
    table = keep(spec, np.ones(spec.weight_shape, np.bool_))
    return Quantised(spec, quantise(weight, scale), np.squeeze(scale, taps), kept, table)


def integer_part(layer: Quantised, x: Any) -> Any:
    """Return ``sum over k, c of x * w`` as int32, exactly.

    Parameters
    ----------
    layer : Quantised
        The layer.
    x : array of int8
        ``(n, i*, ci)``, of NumPy, torch or JAX.

    Returns
    -------
    array of int32
        ``(n, o*, co)``, of the same framework.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import quantised
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([0.5, -1.0, 2.0, 4.0]).reshape(spec.weight_shape)
    >>> layer, x = quantised.prepare(spec, weight, None), np.array([[[127], [0], [-127]]], np.int8)
    >>> quantised.integer_part(layer, x)[0, :, 0]
    array([  8128, -16129], dtype=int32)
    """
    weight = packed(layer.table, layer.weight.astype(np.int32))
    xp = namespace(x)
    return _as(gathered(layer.table, _as(x, xp.int32), xp.asarray(weight)), xp.int32)


def forward(layer: Quantised, x: Any, x_scale: Any) -> Any:
    """Return the layer in real numbers, ``x_scale * scale[o, f] * integer_part + bias``, computed in float32.

    Parameters
    ----------
    layer : Quantised
        The layer.
    x : array of int8
        ``(n, i*, ci)``, of NumPy, torch or JAX.
    x_scale : float32
        One scale for all of x.

    Returns
    -------
    array of float32
        ``(n, o*, co)``, of the same framework.

    Examples
    --------
    >>> import numpy as np
    >>> import lcl_ref as lcl
    >>> from lcl_ref.extensions import quantised
    >>> spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    >>> weight = np.array([0.5, -1.0, 2.0, 4.0]).reshape(spec.weight_shape)
    >>> layer, x = quantised.prepare(spec, weight, None), np.array([[[127], [0], [-127]]], np.int8)
    >>> quantised.forward(layer, x, 0.01)[0, :, 0].round(4).tolist() == [0.63, -5.08]
    False
    """
    xp = namespace(x)
    sums = _as(integer_part(layer, x), xp.float32)
    y = sums * (xp.asarray(layer.scale) * xp.asarray(np.float32(x_scale)))
    return y if layer.bias is None else y + xp.asarray(layer.bias)


def _as(array: Any, dtype: Any) -> Any:
    """Return the array in another dtype of its own framework; torch has a word of its own for it."""
    return array.astype(dtype) if hasattr(array, "astype") else array.to(dtype)
