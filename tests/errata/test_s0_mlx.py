"""Errata A1 to A8: the article on locally connected layers in MLX."""

import numpy as np
import pytest
import torch
from mlx import core as mx

import lcl_ref as lcl
from errata.mlx_snippets import (
    Printed,
    PrintedImage,
    Repaired,
    RepairedImage,
    Tailed,
    cost,
    cost_repaired,
    has_bias,
    has_bias_ported,
    has_bias_repaired,
    unfolded,
    unfolded_repaired,
)
from tests.errata.whole_numbers import accepts, counting, integers, raises, repaired_by


def with_weight(layer, weight):
    layer.weight = mx.array(weight, dtype=mx.float32)
    return layer


@repaired_by(Printed=Repaired)
@pytest.mark.parametrize("kernel_size", [2, 9, 25])
def test_A1_scale_ignores_the_taps(kernel_size):
    mx.random.seed(0)

    def output_variance(kind):
        """Variance of an output for inputs of variance 1: the sum of squared weights, a mean over 40000 outputs."""
        return float((kind(4, 200, kernel_size, 200).weight ** 2).sum(-1).mean())

    assert round(output_variance(Printed)) == kernel_size
    assert round(output_variance(Repaired)) == 1


@repaired_by(Printed=Tailed)
def test_A2_no_tail_is_dropped_and_no_single_sample_taken():
    spec = lcl.Spec(input_size=8, in_channels=2, out_channels=5, kernel_size=3, stride=3, bias="none")
    x, weight = integers(4, 8, 2), integers(*spec.weight_shape)
    printed, tailed = (
        with_weight(kind(2, 5, 3, 2), weight.reshape(2, 6, 5).swapaxes(1, 2)) for kind in (Printed, Tailed)
    )
    assert raises(ValueError, printed, mx.array(x)), "eight elements are two windows of three and a tail of two"
    assert raises(ValueError, printed, mx.array(x[0, :6]))
    np.testing.assert_array_equal(tailed(mx.array(x)), lcl.forward(spec, x, weight))
    np.testing.assert_array_equal(tailed(mx.array(x[0])), lcl.forward(spec, x, weight)[0])
    np.testing.assert_array_equal(printed(mx.array(x[:, :6])), tailed(mx.array(x)))


@repaired_by(Printed=Repaired)
def test_A3_any_shape_of_the_right_area_is_swallowed():
    image = mx.array(counting(4, 2, 3, 5))
    assert accepts(Printed(5, 7, 3, 2), image)
    assert Printed(5, 7, 3, 2)(image).shape == (4, 2, 7)
    assert not accepts(Repaired(5, 7, 3, 2), image)


@repaired_by(PrintedImage=RepairedImage)
def test_A3_windows_of_a_wrong_image_are_scattered():
    weight = mx.ones((1, 3, 3, 2, 2, 1))
    wrong = mx.array(counting(1, 4, 9, 1))
    assert accepts(PrintedImage(weight), wrong)
    seen = PrintedImage(weight)(wrong)
    assert seen[0, 0, 0, 0].item() == sum(counting(4, 9)[0, [0, 1, 6, 7]])
    assert seen[0, 0, 1, 0].item() == sum(counting(4, 9)[[0, 0, 0, 1], [2, 3, 8, 0]])
    assert not accepts(RepairedImage(weight), wrong)
    right = mx.array(counting(1, 6, 6, 1))
    np.testing.assert_array_equal(PrintedImage(weight)(right), RepairedImage(weight)(right))


@repaired_by(PrintedImage=RepairedImage)
def test_A4_biases_of_three_shapes_make_three_models():
    weight, x = mx.zeros((3, 2, 4, 2, 2, 1)), mx.zeros((1, 4, 8, 1))
    per_channel, per_position, stray = mx.arange(3.0), mx.arange(24.0).reshape(2, 4, 3), mx.arange(8.0).reshape(2, 4, 1)
    biases = (per_channel, per_position, stray)
    assert [accepts(PrintedImage(weight, bias), x) for bias in biases] == [True] * 3
    assert len({np.array(PrintedImage(weight, bias)(x)).tobytes() for bias in biases}) == 3
    assert [accepts(RepairedImage(weight, bias), x) for bias in biases] == [True, True, False]
    spec = lcl.Spec(input_size=(4, 8), in_channels=1, out_channels=3, kernel_size=2, stride=2)
    assert raises(lcl.ShapeError, lcl.forward, spec, np.zeros((1, 4, 8, 1)), np.zeros(spec.weight_shape), stray)


@repaired_by(has_bias=has_bias_repaired)
@repaired_by(has_bias_ported=has_bias_repaired)
def test_A5_a_module_of_torch_is_no_dict():
    class Ported(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_parameter("bias", None)

    weight = mx.zeros((1, 1, 1, 1, 1, 1))
    with_and_without = [PrintedImage(weight, mx.zeros(1)), PrintedImage(weight)]
    assert [has_bias(module) for module in with_and_without] == [True, False]
    assert raises(TypeError, has_bias, Ported())
    assert has_bias_ported(Ported()), "which is the other port of it, and is true without a bias"
    assert [has_bias_repaired(module) for module in (*with_and_without, Ported())] == [True, False, False]


@repaired_by(unfolded=unfolded_repaired)
def test_A6_taps_before_channels():
    """torch.unfold orders a patch (channel, tap): the weight of the article fits its shape and means something else."""
    x, weight = integers(2, 6, 4), integers(2, 5, 12, seed=1)  # (windows, outputs, taps*channels)
    printed = with_weight(Printed(4, 5, 3, 2), weight)(mx.array(x))
    assert not np.array_equal(printed, unfolded(x, weight, 3))
    np.testing.assert_array_equal(printed, unfolded_repaired(x, weight, 3))


@repaired_by(cost=cost_repaired)
def test_A7_cost_is_linear_in_positions_at_a_fixed_window_only():
    def products(windows, kernel_size):
        arguments = {"in_channels": 3, "out_channels": 5, "kernel_size": kernel_size, "stride": kernel_size}
        return lcl.Spec(input_size=windows * kernel_size, **arguments).connection_count

    def growth(measure, kernel_sizes):
        counts = [measure(windows, size) for windows, size in zip((1, 2, 8, 32), kernel_sizes, strict=True)]
        return [count / counts[0] for count in counts]

    fixed_window, fixed_input = [4] * 4, [64, 32, 8, 2]
    assert growth(products, fixed_window) == growth(cost, fixed_window) == [1, 2, 8, 32]
    assert growth(products, fixed_input) == growth(cost_repaired, fixed_input) == [1, 1, 1, 1]
    assert growth(cost, fixed_input) == [1, 2, 8, 32], "as the article has it"


@repaired_by(Printed=Repaired)
def test_A8_the_batch_size_is_baked_into_a_shapeless_compilation():
    def fails_on_another_batch(kind):
        layer = with_weight(kind(2, 5, 3, 2), integers(2, 5, 6))
        compiled = mx.compile(layer, shapeless=True)
        mx.eval(compiled(mx.zeros((9, 6, 2))))
        return raises(ValueError, lambda: mx.eval(compiled(mx.zeros((4, 6, 2)))))

    assert fails_on_another_batch(Printed)
    assert not fails_on_another_batch(Repaired)
