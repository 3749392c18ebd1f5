import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import adaptive
from tests.extensions.arrays import integers, operands

SPEC = lcl.Spec(input_size=(9, 11), in_channels=2, out_channels=3, kernel_size=(5, 7), stride=2)
LINE = lcl.Spec(input_size=12, in_channels=2, out_channels=3, kernel_size=7)


@pytest.mark.parametrize("spec", [SPEC, LINE], ids=["2d", "1d"])
def test_limits_are_the_plain_layer_and_the_bias(spec):
    x, weight, bias = operands(spec)
    full = np.full(spec.output_size, adaptive.full_radius(spec))
    np.testing.assert_array_equal(adaptive.weight(spec, weight, full), weight)
    closed = adaptive.weight(spec, weight, np.full(spec.output_size, -1.0))
    np.testing.assert_array_equal(lcl.forward(spec, x, closed, bias), np.broadcast_to(bias, spec.y_shape(2)))


def test_whole_radii_are_the_layers_of_smaller_windows():
    x, weight, bias = operands(LINE)
    for radius, taps in ((0, 1), (1, 3), (2, 5)):
        cut = (7 - taps) // 2
        smaller = lcl.Spec.from_dict(LINE.to_dict() | {"kernel_size": taps, "input_size": 12 - 2 * cut})
        gated = adaptive.weight(LINE, weight, np.full(LINE.output_size, float(radius)))
        expected = lcl.forward(smaller, x[:, cut : 12 - cut], weight[:, cut : 7 - cut], bias)
        np.testing.assert_array_equal(lcl.forward(LINE, x, gated, bias), expected)


def test_between_whole_radii_a_tap_counts_in_proportion():
    gates = adaptive.gates(LINE, np.array([0.25, 1.5, 2.75, 3.0, -0.5, -1.0]))
    np.testing.assert_array_equal(gates[0], [0, 0, 0.25, 1, 0.25, 0, 0])
    np.testing.assert_array_equal(gates[1], [0, 0.5, 1, 1, 1, 0.5, 0])
    np.testing.assert_array_equal(gates[2], [0.75, 1, 1, 1, 1, 1, 0.75])
    np.testing.assert_array_equal(gates[3], 1)
    np.testing.assert_array_equal(gates[4], [0, 0, 0, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(gates[5], 0)


def test_distance_is_the_largest_over_the_axes():
    np.testing.assert_array_equal(adaptive.distances(SPEC)[0], [3, 2, 2, 2, 2, 2, 3])
    np.testing.assert_array_equal(adaptive.distances(SPEC)[2], [3, 2, 1, 0, 1, 2, 3])


def radii(spec):
    """Between whole numbers, where the gates have a slope; sums with quarters stay exact."""
    return integers(*spec.output_size, seed=11, largest=3) * 0.5 + 0.25


def test_the_gradient_of_the_radius_is_the_slope():
    """The layer is piecewise linear in a radius, so a difference quotient within a piece is its slope exactly."""
    x, weight, bias = operands(SPEC)
    radius, dy = radii(SPEC), integers(*SPEC.y_shape(2), seed=9)

    def value(radius):
        return float(np.sum(lcl.forward(SPEC, x, adaptive.weight(SPEC, weight, radius), bias) * dy))

    _, dw, _ = lcl.vjp(SPEC, x, adaptive.weight(SPEC, weight, radius), bias, dy)
    found = adaptive.radius_gradient(SPEC, weight, radius, dw)
    for position in np.ndindex(SPEC.output_size):
        step = np.zeros(SPEC.output_size)
        step[position] = 0.125
        assert (value(radius + step) - value(radius - step)) / 0.25 == found[position]
    assert np.count_nonzero(found) > found.size / 2


def test_radii_that_were_planted_are_found():
    """Gradient descent on the radii alone, from halfway, with a teacher's weights: every position finds its own."""
    spec = lcl.Spec(input_size=20, in_channels=1, out_channels=1, kernel_size=7, bias="none")
    stream = np.random.default_rng(0)
    weight = stream.choice([-1.0, 1.0], spec.weight_shape)
    planted = np.tile([1.0, 2.0], 7)
    x = stream.standard_normal(spec.x_shape(256))
    target = lcl.forward(spec, x, adaptive.weight(spec, weight, planted))
    radius = np.full(14, 1.5)
    for _ in range(300):
        gated = adaptive.weight(spec, weight, radius)
        error = (lcl.forward(spec, x, gated) - target) / len(x)
        radius -= 0.1 * adaptive.radius_gradient(spec, weight, radius, lcl.vjp(spec, x, gated, None, error)[1])
    np.testing.assert_array_equal(np.round(radius, 1), planted)
