"""Errata X1 to X4: what the frameworks themselves do to whoever compares them."""

import numpy as np
import pytest
from mlx import core as mx

import lcl_ref as lcl
from errata.framework_snippets import (
    Grouped,
    GroupedRepaired,
    fused_kernel,
    fused_kernel_repaired,
    grouped_in_two,
    grouped_in_two_repaired,
    numbers_to_train,
    numbers_to_train_repaired,
    stored_bias,
    stored_bias_repaired,
    times,
    times_repaired,
)
from lcl_backends.support.tensorflow import load_keras2
from tests.errata.whole_numbers import integers, raises, repaired_by

IMAGE = lcl.Spec(input_size=(5, 6), in_channels=2, out_channels=3, kernel_size=(2, 3))


def local_layer(implementation, data_format, kernel, bias):
    layer = load_keras2().layers.LocallyConnected2D(
        IMAGE.out_channels, IMAGE.kernel_size, data_format=data_format, implementation=implementation
    )
    channels_last = data_format == "channels_last"
    layer.build((None, *IMAGE.input_size, 2) if channels_last else (None, 2, *IMAGE.input_size))
    layer.set_weights([kernel, bias])
    return layer


@repaired_by(stored_bias=stored_bias_repaired)
@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_X1_the_bias_of_tf_keras_is_reshaped_and_not_transposed(implementation):
    x, weight, bias = integers(2, 5, 6, 2), integers(*IMAGE.weight_shape), integers(*IMAGE.bias_shape, seed=1)
    expected = np.moveaxis(lcl.forward(IMAGE, x, weight, bias), -1, 1)
    target = f"keras2/impl{implementation}/channels_first"
    kernel, stored = lcl.layouts.convert(IMAGE, weight, bias, source="canonical", target=target)
    assert stored.shape == bias.shape, "so that the wrong one fits"
    first = np.moveaxis(x, -1, 1)
    np.testing.assert_array_equal(local_layer(implementation, "channels_first", kernel, stored)(first), expected)
    as_its_shape_says = local_layer(implementation, "channels_first", kernel, stored_bias(bias))(first)
    assert not np.array_equal(as_its_shape_says, expected)
    np.testing.assert_array_equal(stored, stored_bias_repaired(bias))


@repaired_by(fused_kernel=fused_kernel_repaired)
def test_X2_jax_and_flax_put_channels_before_taps():
    import jax
    from flax import linen

    x, weight = integers(2, 5, 6, 2), integers(*IMAGE.weight_shape)

    def applied(kernel):
        module = linen.ConvLocal(3, (2, 3), padding="VALID", use_bias=False, precision=jax.lax.Precision.HIGHEST)
        return module.apply({"params": {"kernel": kernel.astype(np.float32)}}, x.astype(np.float32))

    expected = lcl.forward(lcl.Spec.from_dict(IMAGE.to_dict() | {"bias": "none"}), x, weight)
    assert not np.array_equal(applied(fused_kernel(weight)), expected)
    np.testing.assert_array_equal(applied(fused_kernel_repaired(weight)), expected)


@pytest.mark.slow
@repaired_by(Grouped=GroupedRepaired)
def test_X2_the_local_module_of_flax_refuses_groups():
    import jax

    def output(kind, groups):
        y, _ = kind(groups).init_with_output(jax.random.key(0), np.zeros((1, 5, 4), np.float32))
        return y.shape

    assert raises(NotImplementedError, output, Grouped, 2)
    assert output(Grouped, 1) == output(GroupedRepaired, 1) == output(GroupedRepaired, 2)


@repaired_by(times=times_repaired)
def test_X3_convolutions_of_mlx_take_float64_and_compute_float32():
    with mx.stream(mx.cpu):
        x = mx.array(np.full((1, 4, 1), 1 + 2**-40), dtype=mx.float64)
        one = mx.ones((1, 1, 1), dtype=mx.float64)
        convolved, multiplied = times(x, one), times_repaired(x, one)
        assert convolved.dtype == multiplied.dtype == mx.float64
        assert np.array(convolved).max() == 1.0
        assert np.array(multiplied).max() == 1 + 2**-40


@repaired_by(grouped_in_two=grouped_in_two_repaired)
def test_X3_grouped_convolution_of_mlx_in_float64_is_refused():
    def applied(function, dtype):
        with mx.stream(mx.cpu):
            x, weight = integers(1, 5, 6, 4), integers(4, 2, 2, 2, seed=1)
            return np.array(function(mx.array(x, dtype=dtype), mx.array(weight, dtype=dtype)))

    assert raises((ValueError, RuntimeError), applied, grouped_in_two, mx.float64)
    narrow, wide = applied(grouped_in_two, mx.float32), applied(grouped_in_two_repaired, mx.float64)
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide, narrow)


@repaired_by(numbers_to_train=numbers_to_train_repaired)
def test_X4_weights_that_meet_only_padding_never_train():
    spec = lcl.Spec(
        input_size=(4, 4), in_channels=2, out_channels=3, kernel_size=3, padding="same_keras_local", bias="none"
    )
    alive = numbers_to_train_repaired(spec)
    assert alive == spec.connection_count == 600
    assert numbers_to_train(spec) == alive + 264
    valid = lcl.Spec.from_dict(spec.to_dict() | {"padding": "valid"})
    assert numbers_to_train(valid) == numbers_to_train_repaired(valid), "without padding there are none"

    layers = load_keras2().layers

    def stored(implementation):
        layer = layers.LocallyConnected2D(3, 3, padding="same", use_bias=False, implementation=implementation)
        layer.build((None, 4, 4, 2))
        return sum(np.prod(weight.shape) for weight in layer.get_weights())

    assert raises(ValueError, stored, 1)
    assert stored(2) == (4 * 4 * 2) * (4 * 4 * 3), "every pair of an input and an output, under a mask"
    assert stored(3) == alive
