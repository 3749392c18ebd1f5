import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import low_rank
from tests.extensions.arrays import integers

SPEC = lcl.Spec(
    input_size=(5, 6), in_channels=4, out_channels=6, kernel_size=(2, 3), stride=(2, 1), padding=1, groups=2
)


def operands(rank):
    mixing = integers(*SPEC.output_size, rank, seed=3)
    kernels = integers(rank, *SPEC.weight_shape[2:], seed=5)
    return integers(*SPEC.x_shape(2)), mixing, kernels, integers(*SPEC.bias_shape, seed=7)


@pytest.mark.parametrize("rank", [1, 3])
def test_mixing_weights_is_mixing_convolutions(rank):
    x, mixing, kernels, bias = operands(rank)
    plain = lcl.forward(SPEC, x, low_rank.weight(SPEC, mixing, kernels), bias)
    np.testing.assert_array_equal(low_rank.forward(SPEC, x, mixing, kernels, bias), plain)


def test_one_kernel_mixed_with_one_is_the_convolution():
    x, _, kernels, bias = operands(1)
    shared = lcl.Spec.from_dict(SPEC.to_dict() | {"shared": True})
    expected = lcl.forward(shared, x, kernels.reshape(shared.weight_shape), bias)
    ones = np.ones((*SPEC.output_size, 1))
    np.testing.assert_array_equal(low_rank.forward(SPEC, x, ones, kernels, bias), expected)


def test_a_kernel_for_every_position_is_the_locally_connected_layer():
    count = int(np.prod(SPEC.output_size))
    x, _, kernels, bias = operands(count)
    each_its_own = np.eye(count).reshape(*SPEC.output_size, count)
    expected = lcl.forward(SPEC, x, kernels.reshape(SPEC.weight_shape), bias)
    np.testing.assert_array_equal(low_rank.forward(SPEC, x, each_its_own, kernels, bias), expected)
