"""Errata X1 to X4: what the frameworks themselves do to whoever compares them."""

import numpy as np
import pytest
from mlx import core as mx

import lcl_ref as lcl
from lcl_backends._tensorflow import load_keras2
from tests.errata.whole_numbers import integers, raises

IMAGE = lcl.Spec(input_size=(5, 6), in_channels=2, out_channels=3, kernel_size=(2, 3))


def local_layer(implementation, data_format, kernel, bias):
    layer = load_keras2().layers.LocallyConnected2D(
        IMAGE.out_channels, IMAGE.kernel_size, data_format=data_format, implementation=implementation
    )
    channels_last = data_format == "channels_last"
    layer.build((None, *IMAGE.input_size, 2) if channels_last else (None, 2, *IMAGE.input_size))
    layer.set_weights([kernel, bias])
    return layer


@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_X1_the_bias_of_tf_keras_is_reshaped_and_not_transposed(implementation):
    x, weight, bias = integers(2, 5, 6, 2), integers(*IMAGE.weight_shape), integers(*IMAGE.bias_shape, seed=1)
    expected = np.moveaxis(lcl.forward(IMAGE, x, weight, bias), -1, 1)
    target = f"keras2/impl{implementation}/channels_first"
    kernel, stored = lcl.layouts.convert(IMAGE, weight, bias, source="canonical", target=target)
    assert stored.shape == bias.shape, "so that the wrong one fits"
    first = np.moveaxis(x, -1, 1)
    np.testing.assert_array_equal(local_layer(implementation, "channels_first", kernel, stored)(first), expected)
    as_its_shape_says = local_layer(implementation, "channels_first", kernel, bias)(first)
    assert not np.array_equal(as_its_shape_says, expected)
    np.testing.assert_array_equal(stored, bias.transpose(2, 0, 1).reshape(bias.shape))


def test_X2_jax_and_flax_put_channels_before_taps():
    import jax
    from flax import linen

    x, weight = integers(2, 5, 6, 2), integers(*IMAGE.weight_shape)

    def applied(kernel):
        module = linen.ConvLocal(3, (2, 3), padding="VALID", use_bias=False, precision=jax.lax.Precision.HIGHEST)
        return module.apply({"params": {"kernel": kernel.astype(np.float32)}}, x.astype(np.float32))

    fused = weight.reshape(4, 4, 12, 3)
    reordered = weight.reshape(4, 4, 6, 2, 3).swapaxes(2, 3).reshape(4, 4, 12, 3)
    expected = lcl.forward(lcl.Spec.from_dict(IMAGE.to_dict() | {"bias": "none"}), x, weight)
    assert not np.array_equal(applied(fused), expected)
    np.testing.assert_array_equal(applied(reordered), expected)


def test_X2_the_local_module_of_flax_refuses_groups():
    import jax
    from flax import linen

    def build(groups):
        module = linen.ConvLocal(4, (2,), feature_group_count=groups)
        return module.init(jax.random.key(0), np.zeros((1, 5, 4), np.float32))

    assert raises(NotImplementedError, build, 2)
    assert not raises(NotImplementedError, build, 1)


def test_X3_convolutions_of_mlx_take_float64_and_compute_float32():
    with mx.stream(mx.cpu):
        x = mx.array(np.full((1, 4, 1), 1 + 2**-40), dtype=mx.float64)
        one = mx.ones((1, 1, 1), dtype=mx.float64)
        convolved, multiplied = mx.conv1d(x, one), x @ one[0]
        assert convolved.dtype == multiplied.dtype == mx.float64
        assert np.array(convolved).max() == 1.0
        assert np.array(multiplied).max() == 1 + 2**-40


def test_X3_grouped_convolution_of_mlx_in_float64_is_refused():
    def grouped(dtype):
        with mx.stream(mx.cpu):
            x, w = mx.ones((1, 5, 5, 4), dtype=dtype), mx.ones((4, 2, 2, 2), dtype=dtype)
            mx.eval(mx.conv2d(x, w, groups=2))

    assert raises((ValueError, RuntimeError), grouped, mx.float64)
    grouped(mx.float32)


def test_X4_weights_that_meet_only_padding_never_train():
    spec = lcl.Spec(
        input_size=(4, 4), in_channels=2, out_channels=3, kernel_size=3, padding="same_keras_local", bias="none"
    )
    weights = np.prod(spec.weight_shape)
    _, dw, _ = lcl.vjp(spec, np.ones(spec.x_shape(2)), np.ones(spec.weight_shape), None, np.ones(spec.y_shape(2)))
    dead = np.count_nonzero(dw == 0)
    assert (weights, dead, spec.connection_count) == (864, 264, 600)
    assert not np.count_nonzero(valid_gradient(spec) == 0), "valid padding has none"

    layers = load_keras2().layers

    def stored(implementation):
        layer = layers.LocallyConnected2D(3, 3, padding="same", use_bias=False, implementation=implementation)
        layer.build((None, 4, 4, 2))
        return sum(np.prod(weight.shape) for weight in layer.get_weights())

    assert raises(ValueError, stored, 1)
    assert stored(2) == (4 * 4 * 2) * (4 * 4 * 3), "every pair of an input and an output, under a mask"
    assert stored(3) == weights - dead


def valid_gradient(spec):
    valid = lcl.Spec.from_dict(spec.to_dict() | {"padding": "valid"})
    ones = [np.ones(shape) for shape in (valid.x_shape(2), valid.weight_shape)]
    return lcl.vjp(valid, *ones, None, np.ones(valid.y_shape(2)))[1]
