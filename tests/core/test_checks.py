"""Arrays that do not fit are refused with the axis and the arithmetic; the dtype rule of the reference."""

import ml_dtypes
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.core.checks import promote
from tests.support.tables import table

SPEC = lcl.Spec(input_size=(9, 8), in_channels=6, out_channels=4, kernel_size=(3, 2), stride=2, groups=2)
SHAPES = {"x": (3, 9, 8, 6), "weight": (4, 4, 3, 2, 3, 4), "bias": (4, 4, 4), "dy": (3, 4, 4, 4)}


def zeros(**changes):
    """Return arrays that fit `SPEC`, except for the shapes (or arrays) given."""
    values = SHAPES | changes
    return {name: np.zeros(value) if isinstance(value, tuple) else value for name, value in values.items()}


def refused(spec=SPEC, **changes):
    """Return {rule: violation} of the `ShapeError` that `forward` and `vjp` both raise."""
    arrays = zeros(**changes)
    dy = arrays.pop("dy")
    with pytest.raises(lcl.ShapeError) as forward:
        lcl.forward(spec, **arrays)
    with pytest.raises(lcl.ShapeError) as vjp:
        lcl.vjp(spec, dy=dy, **arrays)
    assert vjp.value.violations == forward.value.violations
    return {violation.rule: violation for violation in forward.value.violations}


def test_arrays_that_fit_are_taken():
    arrays = zeros()
    dy = arrays.pop("dy")
    assert lcl.forward(SPEC, **arrays).shape == SHAPES["dy"]
    assert [part.shape for part in lcl.vjp(SPEC, dy=dy, **arrays)] == [SHAPES["x"], SHAPES["weight"], SHAPES["bias"]]
    assert lcl.transpose(SPEC, dy, arrays["weight"]).shape == SHAPES["x"]


def test_nested_lists_are_arrays():
    spec = lcl.Spec(input_size=2, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    assert lcl.forward(spec, [[[3], [4]]], [[[[10]], [[1]]]]).tolist() == [[[34]]]


@pytest.mark.parametrize(
    ("changes", "rule", "axis", "words"),
    [
        ({"x": (3, 9, 7, 6)}, "x/ix", "ix", "8 (input_size)"),
        ({"x": (3, 9, 8, 5)}, "x/ci", "ci", "6 (in_channels)"),
        ({"weight": (5, 4, 3, 2, 3, 4)}, "weight/oy", "oy", "4 = floor((9 + 0 + 0 - 1*(3 - 1) - 1) / 2) + 1"),
        ({"weight": (4, 4, 3, 3, 3, 4)}, "weight/kx", "kx", "2 (kernel_size)"),
        ({"weight": (4, 4, 3, 2, 6, 4)}, "weight/cg", "cg", "3 = 6 in_channels / 2 groups"),
        ({"weight": (4, 4, 3, 2, 3, 2)}, "weight/co", "co", "4 (out_channels)"),
        ({"bias": (4, 4, 5)}, "bias/co", "co", "4 (out_channels)"),
    ],
)
def test_one_wrong_axis_is_named_with_what_was_expected(changes, rule, axis, words):
    found = refused(**changes)
    assert list(found) == [rule]
    assert found[rule].axis == axis
    assert words in found[rule].expected


def test_got_lists_every_axis_by_name():
    found = refused(weight=(4, 4, 3, 2, 6, 4))
    assert found["weight/cg"].got == "6 elements (oy=4, ox=4, ky=3, kx=2, cg=6, co=4)"


def test_all_wrong_axes_of_all_arrays_are_reported_at_once():
    rules = {"x/iy", "x/ci", "weight/cg", "weight/co", "bias/oy"}
    assert set(refused(x=(3, 8, 8, 5), weight=(4, 4, 3, 2, 4, 3), bias=(3, 4, 4))) == rules


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"x": (9, 8, 6)}, "x/axes"),  # no batch axis
        ({"x": ()}, "x/axes"),
        ({"weight": (3, 2, 3, 4)}, "weight/axes"),  # the kernel of a convolution
        ({"bias": (4,)}, "bias/axes"),  # one per channel where one per position is asked for
        ({"bias": None}, "bias/presence"),
        ({"x": np.full((3, 9, 8, 6), "1")}, "x/dtype"),
        ({"weight": np.zeros((4, 4, 3, 2, 3, 4), "datetime64[s]")}, "weight/dtype"),
    ],
)
def test_wrong_kinds_of_arrays_are_refused(changes, rule):
    assert list(refused(**changes)) == [rule]


def test_a_shared_axis_expects_one_weight():
    spec = lcl.Spec(input_size=5, in_channels=1, out_channels=1, kernel_size=2, shared=True, bias="none")
    with pytest.raises(lcl.ShapeError) as caught:
        lcl.forward(spec, np.zeros((1, 5, 1)), np.zeros((4, 2, 1, 1)))
    assert (caught.value.rule, caught.value.expected) == ("weight/ox", "1 (shared axis)")


def test_a_bias_too_many_is_refused():
    spec = lcl.Spec(input_size=2, in_channels=1, out_channels=1, kernel_size=2, bias="none")
    with pytest.raises(lcl.ShapeError) as caught:
        lcl.forward(spec, np.zeros((1, 2, 1)), np.zeros((1, 2, 1, 1)), np.zeros((1, 1)))
    assert caught.value.rule == "bias/presence"
    assert "spec.bias is 'none'" in caught.value.expected


def test_the_batches_of_x_and_dy_must_agree():
    arrays = zeros(dy=(2, 4, 4, 4))
    with pytest.raises(lcl.ShapeError) as caught:
        lcl.vjp(SPEC, **arrays)
    assert (caught.value.rule, caught.value.axis, caught.value.expected) == ("dy/n", "n", "3 (batch of x)")


@pytest.mark.parametrize(("operands", "wide", "result"), table(__file__, "worked.toml")["promotions"]["rows"])
def test_dtype_rule(operands, wide, result):
    arrays = [np.zeros(1, getattr(ml_dtypes, name, name)) for name in operands]
    assert promote(arrays) == (np.dtype(wide), np.dtype(getattr(ml_dtypes, result, result)))
