import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import transposed
from tests.extensions.arrays import integers

SPECS = [
    lcl.Spec(input_size=(), in_channels=6, out_channels=4, kernel_size=(), groups=2),
    lcl.Spec(input_size=8, in_channels=3, out_channels=4, kernel_size=3, stride=2, padding=1),
    lcl.Spec(input_size=(5, 6), in_channels=4, out_channels=6, kernel_size=(3, 2), stride=(1, 3), groups=2),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.rank}d")


def operands(spec):
    bias = integers(*spec.x_shape(1)[1:], seed=7)
    return integers(*spec.y_shape(2)), integers(*spec.weight_shape, seed=5), bias, integers(*spec.x_shape(2), seed=9)


@each_spec
def test_it_is_the_adjoint_with_a_bias_per_site(spec):
    y, weight, bias, dz = operands(spec)
    plain = lcl.Spec.from_dict(spec.to_dict() | {"bias": "none"})
    z = transposed.forward(spec, y, weight, bias)
    np.testing.assert_array_equal(z - bias, lcl.transpose(spec, y, weight))
    assert np.sum((z - bias) * dz) == np.sum(y * lcl.forward(plain, dz, weight))


@pytest.mark.parametrize("stride", [1, 2])
def test_with_one_weight_it_is_the_transposed_convolution(stride):
    import torch

    spec = lcl.Spec(input_size=(7, 8), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=stride, shared=True)
    y, weight, bias = integers(*spec.y_shape(2)), integers(*spec.weight_shape, seed=5), integers(3, seed=7)
    filters = torch.from_numpy(weight[0, 0].transpose(3, 2, 0, 1).copy())
    first = torch.from_numpy(y).movedim(-1, 1)
    z = torch.nn.functional.conv_transpose2d(first, filters, torch.from_numpy(bias), stride).movedim(1, -1).numpy()
    covered = z.shape[1:3]
    found = transposed.forward(spec, y, weight, bias)
    np.testing.assert_array_equal(found[:, : covered[0], : covered[1]], z)
    np.testing.assert_array_equal(found[:, covered[0] :], np.broadcast_to(bias, found[:, covered[0] :].shape))


@each_spec
def test_gradients_are_those_of_autodiff(spec):
    """Through the masked dense matrix of the plain layer, of which this layer is the transpose."""
    import torch

    y, weight, bias, dz = operands(spec)
    plain = lcl.Spec.from_dict(spec.to_dict() | {"bias": "none"})

    def matrix_column(unit):
        return lcl.forward(plain, unit, weight)

    units = np.eye(int(np.prod(spec.x_shape(1)))).reshape(-1, *spec.x_shape(1)[1:])
    matrix = torch.from_numpy(matrix_column(units).reshape(len(units), -1))
    leaf = torch.from_numpy(y).flatten(1).requires_grad_()
    (expected,) = torch.autograd.grad(leaf @ matrix.T, leaf, torch.from_numpy(dz).flatten(1))
    dy, dw, db = transposed.vjp(spec, y, weight, bias, dz)
    np.testing.assert_array_equal(dy, expected.reshape(dy.shape).numpy())
    np.testing.assert_array_equal(db, dz.sum(0))
    step = integers(*spec.weight_shape, seed=11)
    assert np.sum(dw * step) == np.sum(dz * transposed.forward(spec, y, step)), "the layer is linear in its weight"


def test_a_bias_per_channel_gathers_all_sites():
    spec = SPECS[2]
    y, weight, _, dz = operands(spec)
    bias = integers(4)
    z = transposed.forward(spec, y, weight, bias)
    np.testing.assert_array_equal(z, lcl.transpose(spec, y, weight) + bias)
    np.testing.assert_array_equal(transposed.vjp(spec, y, weight, bias, dz)[2], dz.sum((0, 1, 2)))
    assert transposed.vjp(spec, y, weight, None, dz)[2] is None


def test_a_bias_of_the_positions_is_refused():
    spec = SPECS[1]
    with pytest.raises(lcl.ShapeError, match="bias"):
        transposed.forward(spec, integers(*spec.y_shape(1)), integers(*spec.weight_shape), np.zeros(spec.bias_shape))
