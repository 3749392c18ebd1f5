import math
from fractions import Fraction

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import quantised, quantised_accuracy
from lcl_ref.extensions.quantised import LARGEST, MOST_TERMS, PER
from tests.extensions.arrays import FRAMEWORKS, IDS

TABLE = ((0, 2), (3, 1), (2, 3), (1, 0), (0, 3))
SPECS = [
    lcl.Spec(input_size=(), in_channels=6, out_channels=4, kernel_size=(), groups=2),
    lcl.Spec(input_size=7, in_channels=3, out_channels=4, kernel_size=3, stride=2, padding=(2,)),
    lcl.Spec(input_size=(5, 4), in_channels=4, out_channels=6, kernel_size=(3, 2), padding=1, groups=2, bias="channel"),
    lcl.Spec(input_size=(5, 4), in_channels=4, out_channels=5, kernel_size=2, dilation=2, channel_table=TABLE),
    lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=2, shared=(True, False), bias="none"),
    lcl.Spec(input_size=(3, 4, 3), in_channels=2, out_channels=3, kernel_size=(2, 3, 1), shared=True),
]
each_spec = pytest.mark.parametrize(
    "spec", SPECS, ids=lambda spec: f"{spec.rank}d-{spec.group_channels}-{sum(spec.shared)}"
)
each_kind = pytest.mark.parametrize("per", PER)
each_framework = pytest.mark.parametrize("framework", [None, *FRAMEWORKS], ids=["numpy", *IDS])

SPREAD = lcl.Spec(input_size=(9, 8), in_channels=4, out_channels=6, kernel_size=3, bias="none")


def reals(*shape, seed):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape)


def whole(*shape, seed):
    random = np.random.Generator(np.random.Philox(seed))
    return random.integers(-LARGEST, LARGEST + 1, shape).astype(np.int8)


def layer_of(spec, per=PER[0]):
    bias = None if spec.bias_shape is None else reals(*spec.bias_shape, seed=2)
    return quantised.prepare(spec, reals(*spec.weight_shape, seed=1), bias, per)


def exact_sums(layer, x):
    """The integer part by the reference, in Python's integers."""
    bias = None if layer.spec.bias_shape is None else np.zeros(layer.spec.bias_shape, object)
    return lcl.forward(layer.spec, x.astype(object), layer.weight.astype(object), bias)


@each_framework
@each_spec
def test_the_integer_part_is_exact_in_numpy_and_every_framework(spec, framework):
    layer, x = layer_of(spec), whole(*spec.x_shape(3), seed=3)
    sums = np.asarray(quantised.integer_part(layer, framework.enter(x) if framework else x))
    assert sums.dtype == np.int32
    np.testing.assert_array_equal(sums, exact_sums(layer, x))


def test_products_of_int8_in_jax_have_the_same_integer_part():
    """The frameworks' own matrix product of int8, with sums in int32, over windows that were gathered as int8."""
    import jax

    spec = SPREAD
    layer, x = layer_of(spec), whole(*spec.x_shape(3), seed=3)
    windows = np.lib.stride_tricks.sliding_window_view(x, spec.kernel_size, (1, 2))  # (n, o*, ci, k*)
    patches = windows.transpose(1, 2, 0, 4, 5, 3).reshape(*spec.output_size, 3, spec.fan_in)
    kernels = layer.weight.reshape(*spec.output_size, spec.fan_in, spec.out_channels)
    numbers = (((3,), (2,)), ((0, 1), (0, 1)))
    sums = jax.lax.dot_general(patches, kernels, numbers, preferred_element_type=np.int32)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(sums), 2, 0), quantised.integer_part(layer, x))


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=IDS)
def test_the_largest_sum_fits_and_one_more_term_is_refused(framework):
    spec = lcl.Spec(input_size=(), in_channels=MOST_TERMS, out_channels=1, kernel_size=(), bias="none")
    layer = quantised.prepare(spec, np.ones(spec.weight_shape), None)
    x = np.full(spec.x_shape(1), -LARGEST, np.int8)
    assert np.asarray(quantised.integer_part(layer, framework.enter(x))).item() == -MOST_TERMS * LARGEST**2
    assert MOST_TERMS * LARGEST**2 < 2**31 <= (MOST_TERMS + 1) * LARGEST**2
    more = lcl.Spec(input_size=(), in_channels=MOST_TERMS + 1, out_channels=1, kernel_size=(), bias="none")
    with pytest.raises(lcl.LclError, match="133144"):
        quantised.prepare(more, np.ones(more.weight_shape), None)


@each_framework
@each_kind
@each_spec
def test_the_scaled_result_lies_within_its_limit(spec, per, framework):
    layer, x, x_scale = layer_of(spec, per), whole(*spec.x_shape(3), seed=3), np.float32(0.0371)
    y = np.asarray(quantised.forward(layer, framework.enter(x) if framework else x, x_scale))
    assert y.dtype == np.float32
    scale = np.broadcast_to(layer.scale, spec.y_shape(1)[1:])
    bias = np.zeros(spec.y_shape(1)[1:]) if layer.bias is None else np.broadcast_to(layer.bias, spec.y_shape(1)[1:])
    sums = exact_sums(layer, x)
    allowed = quantised_accuracy.limit(layer, sums, float(x_scale))
    for place in np.ndindex(y.shape):
        exact = int(sums[place]) * Fraction(float(scale[place[1:]])) * Fraction(float(x_scale))
        error = abs(Fraction(float(y[place])) - exact - Fraction(float(bias[place[1:]])))
        assert error <= Fraction(float(allowed[place]))


@each_kind
@each_spec
def test_the_distance_to_the_real_layer_has_a_limit_that_is_not_idle(spec, per):
    layer, x = layer_of(spec, per), reals(*spec.x_shape(3), seed=4)
    bias = None if spec.bias_shape is None else reals(*spec.bias_shape, seed=2).astype(np.float32).astype(np.float64)
    x_scale = quantised.scale_of(x).item()
    seen = quantised.quantise(x, np.float32(x_scale))
    exact = exact_sums(layer, seen).astype(np.float64) * layer.scale.astype(np.float64) * x_scale
    real = lcl.forward(spec, x, reals(*spec.weight_shape, seed=1), bias)
    away = np.abs(exact + (0 if bias is None else bias) - real)
    allowed = quantised_accuracy.distance(layer, x, x_scale)
    assert (away <= allowed + 2.0**-40).all()
    assert (away > allowed / 10).any()


@each_spec
def test_weights_that_are_multiples_of_their_scale_give_the_plain_layer(spec):
    """Where nothing is rounded the quantised layer is the layer."""
    steps, x = whole(*spec.weight_shape, seed=1), whole(*spec.x_shape(3), seed=3) // 16
    steps.reshape(math.prod(spec.weight_size), -1, spec.out_channels)[:, 0] = LARGEST  # it sets every scale
    weight = steps / 64
    bias = None if spec.bias_shape is None else np.full(spec.bias_shape, 0.25)
    layer = quantised.prepare(spec, weight, bias)
    np.testing.assert_array_equal(layer.scale, np.full(layer.scale.shape, 1 / 64, np.float32))
    y = quantised.forward(layer, x, np.float32(0.5))
    np.testing.assert_array_equal(y, lcl.forward(spec, x * 0.5, weight, bias))


def test_scales_of_their_own_keep_positions_of_unequal_range_apart():
    """Weights whose size grows 32-fold from the first position to the last: the worst relative error of a position."""
    positions = math.prod(SPREAD.output_size)
    growth = np.geomspace(1, 32, positions).reshape(*SPREAD.output_size, 1, 1, 1, 1)
    weight = reals(*SPREAD.weight_shape, seed=5) * growth * np.geomspace(1, 3, SPREAD.out_channels)
    x = whole(*SPREAD.x_shape(8), seed=6)  # exact: only the weights are rounded
    real = lcl.forward(SPREAD, x.astype(np.float64), weight)
    worst = {}
    for per in PER:
        layer = quantised.prepare(SPREAD, weight, None, per)
        assert layer.scale.shape == {"layer": (1, 1, 1), "position": (7, 6, 1), "position and output": (7, 6, 6)}[per]
        away = np.abs(quantised.forward(layer, x, np.float32(1)) - real)
        worst[per] = (away.max(axis=(0, 3)) / np.abs(real).max(axis=(0, 3))).max()
        assert (
            away
            <= quantised_accuracy.distance(layer, x, 0.0) + quantised_accuracy.limit(layer, exact_sums(layer, x), 1.0)
        ).all()
    assert worst["layer"] > 10 * worst["position"] > 10 * worst["position and output"]
    assert worst["position and output"] < 0.015


def test_rounding_is_to_the_nearest_and_stays_symmetric():
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 127.4, 300.0, -300.0])
    assert quantised.quantise(values, np.float32(1)).tolist() == [0, 2, 2, 0, -2, 127, 127, -127]
    assert quantised.scale_of(np.zeros((2, 3)), (1,)).tolist() == [[1.0], [1.0]]
    assert quantised.scale_of(np.array([[1.0, -254.0], [127.0, 3.0]]), (1,)).tolist() == [[2.0], [1.0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(lcl.LclError, match="position and output"):
        quantised.prepare(SPREAD, np.ones(SPREAD.weight_shape), None, "channel")
    with pytest.raises(lcl.ShapeError, match="weight"):
        quantised.prepare(SPREAD, np.ones(SPREAD.weight_shape[1:]), None)


@each_kind
@each_spec
def test_whole_numbers_with_scales_of_one_are_the_plain_layer(spec, per):
    """Weights with a 127 among those that share a scale are kept as they are, and their sums are those of the layer."""
    weight = whole(*spec.weight_shape, seed=5).astype(np.float64)
    weight[(slice(None),) * spec.rank + (0,) * (spec.rank + 1)] = LARGEST
    bias = None if spec.bias_shape is None else whole(*spec.bias_shape, seed=6).astype(np.float64)
    layer, x = quantised.prepare(spec, weight, bias, per), whole(*spec.x_shape(2), seed=7)
    np.testing.assert_array_equal(layer.scale, 1)
    np.testing.assert_array_equal(
        quantised.forward(layer, x, 1.0), lcl.forward(spec, x.astype(np.float64), weight, bias)
    )
