"""Comparison and limits: what agrees, what does not, and how it is said."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from lcl_ref import Spec
from lcl_ref.suite.formats import DTYPES, FORMATS
from lcl_ref.suite.judge.bounds import Magnitude, accumulation_of, gamma, limit, magnitudes
from lcl_ref.suite.judge.compare import Expected, Malformed, Mismatch, check

F32, F64 = FORMATS["float32"], FORMATS["float64"]


def expected(golden, dtype="float32", *, exact=True, total=1.0, terms=1.0):
    golden = np.asarray(golden)
    size = Magnitude(np.full(golden.shape, total), np.full(golden.shape, terms))
    axes = ("n", "ox", "co")[: golden.ndim]
    return Expected("y", golden, dtype, axes, exact, accumulation_of(dtype, "forward", {}), lambda: size)


def test_equal_bits_agree_with_ratio_zero_and_zeros_have_no_sign():
    assert check(expected([[0, 3]]), np.array([[-0.0, 3]], np.float32)).error_ratio == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_values_agree_only_with_themselves(value):
    truth = expected([1.0, value])
    assert check(truth, np.array([1, value], np.float32)).error_ratio == 0
    for other in (0.0, np.nan, np.inf, -np.inf):
        if not np.array_equal([other], [value], equal_nan=True):
            with pytest.raises(Mismatch, match=r"\[n=1\] got"):
                check(truth, np.array([1, other], np.float32))


def test_an_exact_result_that_is_off_by_one_bit_is_wrong_and_its_place_named():
    got = np.array([[1, 2], [3, np.nextafter(np.float32(4), np.float32(5))]], np.float32)
    with pytest.raises(
        Mismatch, match=r"y: \[n=1, ox=1\] got 4\.00000047\d+, expected 4\.0; 1 of 4 elements wrong; every bit"
    ) as caught:
        check(expected([[1, 2], [3, 4]]), got)
    assert caught.value.error_ratio > 0


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (np.zeros((2, 3), np.float32), r"got shape \(2, 3\), expected \(3, 2\) \(n, ox\)"),
        (np.zeros((3, 2), np.float64), "got dtype float64, expected float32"),
        (np.zeros((3, 2), np.int32), "got dtype int32, expected float32"),
    ],
)
def test_wrong_shape_and_wrong_dtype_are_malformed(got, message):
    with pytest.raises(Malformed, match=message):
        check(expected(np.zeros((3, 2), int)), got)


def test_a_rounded_result_passes_up_to_its_limit_and_fails_beyond():
    truth = expected([1.0], exact=False, total=10.0, terms=5.0)
    allowed = float(limit(truth.magnitude(), np.array([1.0]), F32, F32)[0])
    inside, outside = np.float32(1 + allowed * 0.9), np.float32(1 + allowed * 1.1)
    agreement = check(truth, np.array([inside]))
    assert 0.8 < agreement.error_ratio <= 1
    with pytest.raises(Mismatch, match="limit"):
        check(truth, np.array([outside]))


def test_beyond_what_random_roundings_reach_a_pass_carries_a_warning():
    truth = expected([1.0], exact=False, total=100.0, terms=224.0)  # 4*sqrt(224 + 1) = 60
    assert check(truth, np.array([1 + 50 * 100 * 2.0**-24], np.float32)).warning == ""
    answer = np.array([1 + 70 * 100 * 2.0**-24], np.float32)
    assert "1 of 1 elements beyond 4*sqrt(K+1)*u*S" in check(truth, answer).warning


def test_gamma_is_infinite_where_nothing_can_be_proved():
    assert gamma(255, 2.0**-8) == 255
    assert math.isinf(gamma(256, 2.0**-8))


def test_an_empty_sum_has_limit_zero_in_float64_and_zero_agrees():
    nothing = Magnitude(np.zeros(1), np.zeros(1))
    assert limit(nothing, np.zeros(1), F64, F64)[0] == 0
    truth = expected([0.0], "float64", exact=False, total=0.0, terms=0.0)
    assert check(truth, np.zeros(1)).error_ratio == 0
    with pytest.raises(Mismatch):
        check(truth, np.array([5e-324]))


def test_magnitudes_count_the_terms_of_every_element():
    spec = Spec(input_size=(5,), in_channels=3, out_channels=2, kernel_size=(3,), padding=((1, 0),))
    rng = np.random.Generator(np.random.Philox(1))
    shapes = {"x": spec.x_shape(2), "weight": spec.weight_shape, "bias": spec.bias_shape, "dy": spec.y_shape(2)}
    operands = {name: rng.integers(-3, 4, shape) for name, shape in shapes.items()}
    sizes = magnitudes(spec, operands)
    assert sizes["y"].terms[0].tolist() == [[6, 6], [9, 9], [9, 9], [9, 9]]
    assert sizes["dx"].terms[0, :, 0].tolist() == [4, 6, 6, 4, 2]
    assert set(sizes["dw"].terms.ravel()) == {0, 2}
    assert set(sizes["db"].terms.ravel()) == {2}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limit_holds_for_every_order_of_a_sum_and_is_sharp_to_a_small_factor(dtype):
    """Serial sums of random terms, forwards and backwards, against exact fractions."""
    form, accumulation = FORMATS[dtype], accumulation_of(dtype, "forward", {})
    kind = {"float32": np.float32, "float64": np.float64}[accumulation.name]
    rng = np.random.Generator(np.random.Philox(7))
    worst = 0.0
    for _ in range(200):
        count = int(rng.integers(1, 60))
        left, right = (rng.standard_normal(count).astype(form.dtype).astype(kind) for _ in range(2))
        exact = sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(left, right, strict=True)), Fraction(0))
        total = np.array([float(np.abs(left.astype(float) * right.astype(float)).sum()) * (1 + 2.0**-40)])
        allowed = limit(Magnitude(total, np.array([float(count)])), np.array([float(exact)]), form, accumulation)
        for order in (slice(None), slice(None, None, -1)):
            running = kind(0)
            for a, b in zip(left[order], right[order], strict=True):
                running = kind(running + kind(a * b))
            stored = float(np.asarray(running).astype(form.dtype))
            worst = max(worst, float(abs(Fraction(stored) - exact)) / float(allowed[0]))
    assert 0.05 < worst <= 1


def test_formats_say_what_numpy_says():
    for name in DTYPES:
        form = FORMATS[name]
        info = ml_dtypes.finfo(form.dtype)
        assert form.unit_roundoff * 2 == float(info.eps), name
        assert form.smallest_subnormal == float(info.smallest_subnormal), name
        assert int(np.asarray(form.largest_exact_integer).astype(form.dtype)) == form.largest_exact_integer
