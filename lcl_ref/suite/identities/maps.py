"""Maps between the tensors of two systems that compute the same: every element of one is an element of the other, or 0.

A map is a function on arrays that only moves, repeats and leaves out elements. What it does to a gradient follows: it
is applied to the numbers of the elements, and each gradient goes back to where its element came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec

Array = NDArray[Any]
Move = Callable[[Spec, Spec, Array], Array]


def same(_left: Spec, _right: Spec, array: Array) -> Array:
    """Leave every element in its place."""
    return array


def reshaped_x(_left: Spec, right: Spec, x: Array) -> Array:
    """``(n, i*, ci)`` of the one to that of the other, element by element."""
    return x.reshape(right.x_shape(len(x)))


def reshaped_y(_left: Spec, right: Spec, y: Array) -> Array:
    """``(n, o*, co)`` of the one to that of the other, element by element."""
    return y.reshape(right.y_shape(len(y)))


def reshaped_weight(_left: Spec, right: Spec, weight: Array) -> Array:
    """``(o*, k*, cg, co)`` of the one to that of the other, element by element."""
    return weight.reshape(right.weight_shape)


def repeated_weight(_left: Spec, right: Spec, weight: Array) -> Array:
    """``(1*, k*, cg, co) -> (o*, k*, cg, co)``: one weight in every position."""
    return np.broadcast_to(weight, right.weight_shape)


def positions_to_groups(left: Spec, right: Spec, weight: Array) -> Array:
    """``(o*, k*, ci, co) -> (k*ci, o*co)``: every position a block of a block-diagonal map."""
    positions = np.broadcast_to(weight, (*left.output_size, *left.kernel_size, *weight.shape[-2:]))
    blocks = positions.reshape(math.prod(left.output_size), left.fan_in, left.out_channels)
    return blocks.swapaxes(0, 1).reshape(right.weight_shape)


def groups_to_positions(left: Spec, right: Spec, weight: Array) -> Array:
    """``(cg, g*p) -> (o*, k*, ci, p)``: every block of a block-diagonal map a position."""
    return weight.reshape(left.group_channels, left.groups, -1).swapaxes(0, 1).reshape(right.weight_shape)


def groups_to_zeros(left: Spec, right: Spec, weight: Array) -> Array:
    """``(o*, k*, cg, co) -> (o*, k*, ci, co)``: all channels are read, those outside the group with weight 0."""
    dense = np.zeros(right.weight_shape, weight.dtype)
    for (f, c), source in np.ndenumerate(left.channels):
        dense[..., source, f] = weight[..., c, f]
    return dense


def shuffled_channels(_left: Spec, right: Spec, x: Array) -> Array:
    """``(n, i*, ci)`` with channels dealt to the groups of the other: the channel shuffle between grouped layers."""
    dealt = x.reshape(*x.shape[:-1], right.group_channels, right.groups)
    return dealt.swapaxes(-1, -2).reshape(x.shape)


def positions_to_bias(left: Spec, right: Spec, bias: Array) -> Array:
    """``(co,)`` or ``(o*, co)`` to the bias of every position, in the shape of the other."""
    everywhere = np.broadcast_to(bias, (*left.output_size, left.out_channels))
    return everywhere.reshape(right.bias_shape or ())


@dataclass(frozen=True, kw_only=True)
class Maps:
    """How x, weight, bias and y of the left system become those of the right one."""

    x: Move = same
    weight: Move = same
    bias: Move = same
    y: Move = same


def pulled_back(move: Move, left: Spec, right: Spec, shape: tuple[int, ...], gradient: Array) -> NDArray[np.float64]:
    """Return the gradient, in float64, of what `move` takes from `shape`, given that of what it returns."""
    numbers = move(left, right, np.arange(1, math.prod(shape) + 1).reshape(shape))
    total = np.zeros(math.prod(shape) + 1)
    np.add.at(total, numbers, gradient.astype(np.float64))
    return total[1:].reshape(shape)
