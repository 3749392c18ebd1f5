"""What the frameworks themselves hold ready, as one takes it for granted; and repaired."""

import math

import numpy as np
from flax import linen
from mlx import core as mx

import lcl_ref as lcl


def stored_bias(bias):
    """The bias (o*, co) as the shape that tf_keras stores says, whatever the data format."""
    return bias


def stored_bias_repaired(bias):
    """What it has to hold for channels first, where it is reshaped to (co, o*) before it is added."""
    return np.moveaxis(bias, -1, 0).reshape(bias.shape)


def fused_kernel(weight):
    """``(o*, k*, cg, co) -> (o*, k*cg, co)`` as the axes lie: taps before channels."""
    return weight.reshape(*weight.shape[:2], -1, weight.shape[-1])


def fused_kernel_repaired(weight):
    """The same in the order of JAX and Flax: channels before taps."""
    return fused_kernel(np.moveaxis(weight, -2, 2))


class Grouped(linen.Module):
    """Flax's local convolution with the groups that it has an argument for."""

    groups: int

    @linen.compact
    def __call__(self, x):
        return linen.ConvLocal(4, (2,), feature_group_count=self.groups)(x)


class GroupedRepaired(linen.Module):
    """One local convolution for each group."""

    groups: int

    @linen.compact
    def __call__(self, x):
        parts = np.split(x, self.groups, axis=-1)
        return np.concatenate([linen.ConvLocal(4 // self.groups, (2,))(part) for part in parts], axis=-1)


def times(x, weight):
    """``(n, length, ci), (co, 1, ci)``: a convolution of kernel size 1 in MLX, whatever the dtype."""
    return mx.conv1d(x, weight)


def times_repaired(x, weight):
    """The same as the product it is."""
    return x @ weight[:, 0].T


def grouped_in_two(x, weight):
    """``(n, h, w, ci), (co, k, k, ci/2)``: a grouped convolution in MLX, whatever the dtype."""
    return mx.conv2d(x, weight, groups=2)


def grouped_in_two_repaired(x, weight):
    """The same as a sum over taps."""
    (_, high, wide, _), (_, taps, _, _) = x.shape, weight.shape
    rows, columns = high - taps + 1, wide - taps + 1
    return mx.concatenate(
        [
            sum(half[:, i : i + rows, j : j + columns] @ kernels[:, i, j].T for i in range(taps) for j in range(taps))
            for half, kernels in zip(mx.split(x, 2, -1), mx.split(weight, 2), strict=True)
        ],
        -1,
    )


def numbers_to_train(spec):
    """The weights of a layer as its shape says."""
    return math.prod(spec.weight_shape)


def numbers_to_train_repaired(spec):
    """Those that meet an input: the derivative by them is not zero everywhere."""
    ones = [np.ones(shape) for shape in (spec.x_shape(1), spec.weight_shape)]
    return np.count_nonzero(lcl.vjp(spec, *ones, None, np.ones(spec.y_shape(1)))[1])
