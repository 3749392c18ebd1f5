"""Padding names against what the frameworks define, and against the defining property of each rule."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcl_ref import Spec
from lcl_ref.core.padding import PADDING_RULES, resolve, window_extent
from tests.support.tables import table

AXIS = {
    "size": st.integers(1, 40),
    "kernel_size": st.integers(1, 9),
    "stride": st.integers(1, 6),
    "dilation": st.integers(1, 4),
}


def positions(size, kernel_size, stride, dilation, padding):
    """Count where a window fits, by sliding it."""
    last_tap = dilation * (kernel_size - 1)
    return sum(start + last_tap < size + sum(padding) for start in range(0, size + sum(padding), stride))


@pytest.mark.parametrize(
    ("name", "size", "kernel_size", "stride", "dilation", "pair"), table(__file__, "worked.toml")["padding"]["pairs"]
)
def test_worked_pairs(name, size, kernel_size, stride, dilation, pair):
    assert resolve(name, size, kernel_size, stride, dilation) == tuple(pair)


@given(**AXIS)
def test_same_upper_and_same_lower_are_those_of_jax(size, kernel_size, stride, dilation):
    window = window_extent(kernel_size, dilation)
    for ours, theirs in (("same_upper", "SAME"), ("same_lower", "SAME_LOWER")):
        (expected,) = jax.lax.padtype_to_pads((size,), (window,), (stride,), theirs)
        assert resolve(ours, size, kernel_size, stride, dilation) == expected


@given(**AXIS)
def test_every_same_rule_gives_one_position_per_stride(size, kernel_size, stride, dilation):
    for name in ("same_upper", "same_lower", "same_keras_local"):
        pair = resolve(name, size, kernel_size, stride, dilation)
        assert positions(size, kernel_size, stride, dilation, pair) == -(-size // stride), name


@given(**AXIS)
def test_same_keras_local_centres_every_window_on_its_stride(size, kernel_size, stride, dilation):
    """tf_keras: the window of position o spans [o*stride - window//2, ...), cut off at the edges of the input."""
    lo, hi = resolve("same_keras_local", size, kernel_size, stride, dilation)
    window = window_extent(kernel_size, dilation)
    assert lo == window // 2
    last = (positions(size, kernel_size, stride, dilation, (lo, hi)) - 1) * stride - window // 2 + window
    assert hi == max(last - size, 0)


@given(**AXIS)
def test_causal_windows_end_at_their_stride(size, kernel_size, stride, dilation):
    lo, hi = resolve("causal", size, kernel_size, stride, dilation)
    assert (lo, hi) == (dilation * (kernel_size - 1), 0)
    assert positions(size, kernel_size, stride, dilation, (lo, hi)) == (size - 1) // stride + 1


def test_window_extent_counts_first_to_last_tap():
    assert [window_extent(1, 7), window_extent(3, 1), window_extent(3, 2)] == [1, 3, 5]


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="same"):
        resolve("same", 9, 3, 1, 1)


@pytest.mark.parametrize("name", PADDING_RULES)
def test_a_specification_holds_the_pairs_of_each_axis(name):
    spec = Spec(
        input_size=(9, 10, 11), in_channels=1, out_channels=1, kernel_size=(4, 3, 2), stride=(2, 3, 1), padding=name
    )
    assert spec.padding == (resolve(name, 9, 4, 2, 1), resolve(name, 10, 3, 3, 1), resolve(name, 11, 2, 1, 1))
    assert spec == Spec.from_json(spec.to_json())
