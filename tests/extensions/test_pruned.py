import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import pruned
from tests.extensions import arrays
from tests.extensions.arrays import FRAMEWORKS, IDS, applied, integers

SPECS = [
    lcl.Spec(input_size=(), in_channels=6, out_channels=4, kernel_size=(), groups=2),
    lcl.Spec(input_size=7, in_channels=3, out_channels=4, kernel_size=3, stride=2, padding=(2,)),
    lcl.Spec(input_size=(5, 4), in_channels=4, out_channels=6, kernel_size=(3, 2), padding=1, groups=2, bias="channel"),
    lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=2, dilation=2, shared=(True, False)),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.rank}d-{spec.groups}-{sum(spec.shared)}")


def operands(spec):
    mask = np.random.default_rng(3).random(spec.weight_shape) < 0.4
    return *arrays.operands(spec), mask


@each_spec
def test_gathering_what_is_kept_is_the_layer_with_zeros(spec):
    x, weight, bias, mask = operands(spec)
    table = pruned.keep(spec, mask)
    y = pruned.forward(table, x, pruned.pack(table, weight), bias)
    np.testing.assert_array_equal(y, lcl.forward(spec, x, weight * mask, bias))
    assert table.stored < np.prod(spec.y_shape(1)) * spec.fan_in


@each_spec
def test_limits_are_the_plain_layer_and_the_bias(spec):
    x, weight, bias, mask = operands(spec)
    whole, nothing = pruned.keep(spec, np.ones_like(mask)), pruned.keep(spec, np.zeros_like(mask))
    np.testing.assert_array_equal(
        pruned.forward(whole, x, pruned.pack(whole, weight), bias), lcl.forward(spec, x, weight, bias)
    )
    np.testing.assert_array_equal(
        pruned.forward(nothing, x, pruned.pack(nothing, weight), bias), np.broadcast_to(bias, spec.y_shape(2))
    )


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=IDS)
@each_spec
def test_what_is_cut_off_never_leaks(spec, framework):
    """A NaN in every input: outputs that keep no connection are their bias, and no other is finite."""
    _, weight, bias, mask = operands(spec)
    mask = mask & (np.arange(spec.out_channels) != 1)
    table = pruned.keep(spec, mask)
    x = np.full(spec.x_shape(2), np.nan)
    y = applied(framework, lambda x, w, b: pruned.forward(table, x, pruned.pack(table, w), b), x, weight, bias)
    joined = (table.weights < np.prod(spec.weight_shape)).any(1).reshape(spec.y_shape(1)[1:])
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(joined, y.shape))
    np.testing.assert_array_equal(y[..., 1], np.broadcast_to(bias[..., 1], y[..., 1].shape))
    assert np.isnan(weight * ~mask * np.nan).all(), "which multiplying by zero would not have kept out"


def test_strongest_keeps_so_many_per_output():
    spec = SPECS[1]
    weight = integers(*spec.weight_shape, seed=5, largest=1000)
    mask = pruned.strongest(spec, weight, 4)
    np.testing.assert_array_equal(mask.sum((1, 2)), 4)
    least_kept = np.where(mask, np.abs(weight), np.inf).min((1, 2))
    assert (np.where(mask, 0, np.abs(weight)).max((1, 2)) <= least_kept).all()
    assert pruned.keep(spec, mask).stored == 4 * np.prod(spec.y_shape(1))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(lcl.ShapeError, match="mask"):
        pruned.keep(SPECS[1], np.ones(SPECS[1].weight_shape[1:], bool))
