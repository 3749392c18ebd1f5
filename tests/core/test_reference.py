"""The reference by hand, and the reference, the matrix products and the dense oracle against each other."""

import math
from itertools import product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lcl_ref as lcl
from lcl_ref.core import batched, dense_oracle, reference

ROUTES = pytest.mark.parametrize("route", [reference, batched, dense_oracle], ids=lambda module: module.__name__)
BIG = 10**30


def axis(draw):
    """Draw the settings of one axis so that at least one window fits."""
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    lo, hi = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    least = max(1, dilation * (kernel - 1) + 1 - lo - hi)
    return draw(st.integers(least, least + 4)), kernel, draw(st.integers(1, 3)), dilation, (lo, hi)


@st.composite
def specs(draw, **fixed):
    """Draw a layer of rank 0 to 3 with small sizes; `fixed` sets arguments of `Spec`."""
    axes = [axis(draw) for _ in range(draw(st.integers(0, 3)))]
    size, kernel, stride, dilation, padding = zip(*axes, strict=True) if axes else ((),) * 5
    arguments = {"input_size": size, "kernel_size": kernel, "stride": stride, "dilation": dilation, "padding": padding}
    arguments["shared"] = draw(st.tuples(*[st.booleans()] * len(axes)))
    arguments["bias"] = draw(st.sampled_from(["none", "channel", "position"]))
    return lcl.Spec(**(arguments | draw(st.one_of(grouped(), tabled())) | fixed))


@st.composite
def grouped(draw):
    groups = draw(st.integers(1, 3))
    return {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "groups": groups,
    }


@st.composite
def tabled(draw):
    channels, width = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    rows = st.permutations(range(channels)).map(lambda order: order[:width])
    table = draw(st.lists(rows, min_size=1, max_size=3))
    return {"in_channels": channels, "out_channels": len(table), "channel_table": table}


def operands(spec, batch=2, seed=0, dtype=np.int64):
    """Return small integers x, weight, bias, dy for `spec`, in `dtype`."""
    random = np.random.default_rng(seed)
    shapes = (spec.x_shape(batch), spec.weight_shape, spec.bias_shape, spec.y_shape(batch))
    return [None if shape is None else random.integers(-9, 10, shape).astype(dtype) for shape in shapes]


def everything(route, spec, x, weight, bias, dy):
    """Return y, dx, dw, db and the transpose of dy."""
    return [route.forward(spec, x, weight, bias), *route.vjp(spec, x, weight, dy), route.transpose(spec, dy, weight)]


def assert_equal(got, expected):
    """Compare lists of arrays bit for bit, zeros of either sign being equal."""
    for one, other in zip(got, expected, strict=True):
        if one is None or other is None:
            assert one is other
        else:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, strict=True)


# By hand


@ROUTES
def test_each_position_has_its_own_kernel(route):
    spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=2)
    x = np.array([1, 2, 3, 4]).reshape(1, 4, 1)
    weight = np.array([[1, 10], [2, 20], [3, 30]]).reshape(3, 2, 1, 1)
    bias = np.array([100, 200, 300]).reshape(3, 1)
    y = route.forward(spec, x, weight, bias)
    assert y.tolist() == [[[100 + 1 * 1 + 2 * 10], [200 + 2 * 2 + 3 * 20], [300 + 3 * 3 + 4 * 30]]]


@ROUTES
def test_gradients_by_hand(route):
    spec = lcl.Spec(input_size=3, in_channels=1, out_channels=1, kernel_size=2)
    x, dy = np.array([1, 2, 3]).reshape(1, 3, 1), np.array([5, 7]).reshape(1, 2, 1)
    weight = np.array([[1, 2], [3, 4]]).reshape(2, 2, 1, 1)
    dx, dw, db = route.vjp(spec, x, weight, dy)
    assert dx.ravel().tolist() == [5 * 1, 5 * 2 + 7 * 3, 7 * 4]
    assert dw.ravel().tolist() == [5 * 1, 5 * 2, 7 * 2, 7 * 3]
    assert db.tolist() == [[5], [7]]
    assert route.transpose(spec, dy, weight).tolist() == dx.tolist()


@ROUTES
def test_stride_dilation_and_uneven_padding(route):
    """Position o reads sites 2o - 1 and 2o + 1 of five; the first tap of o = 0 and the last of o = 2 are padding."""
    spec = lcl.Spec(
        input_size=5, in_channels=1, out_channels=1, kernel_size=2, stride=2, dilation=2, padding=((1, 2),), bias="none"
    )
    x = np.array([1, 2, 3, 4, 5]).reshape(1, 5, 1)
    weight = np.array([[1, 2], [3, 4], [5, 6]]).reshape(3, 2, 1, 1)
    assert route.forward(spec, x, weight, None).ravel().tolist() == [2 * 2, 2 * 3 + 4 * 4, 4 * 5]


@ROUTES
def test_axes_are_in_order_and_taps_are_not_flipped(route):
    """x[y, x] = 10*y + x read through a kernel with a single 1 shows which site each tap reads."""
    spec = lcl.Spec(input_size=(3, 4), in_channels=1, out_channels=1, kernel_size=(2, 3), bias="none")
    x = (10 * np.arange(3)[:, None] + np.arange(4)).reshape(1, 3, 4, 1)
    for ky, kx in np.ndindex(2, 3):
        weight = np.zeros(spec.weight_shape, int)
        weight[:, :, ky, kx] = 1
        y = route.forward(spec, x, weight, None)[0, :, :, 0]
        assert y.tolist() == [[10 * (oy + ky) + ox + kx for ox in range(2)] for oy in range(2)]


@ROUTES
def test_groups_at_rank_0_are_blocks_of_a_matrix(route):
    spec = lcl.Spec(input_size=(), in_channels=4, out_channels=2, kernel_size=(), groups=2)
    weight = np.array([[1, 100], [10, 1000]])
    y = route.forward(spec, np.array([[1, 2, 3, 4]]), weight, np.array([5, 6]))
    assert y.tolist() == [[5 + 1 * 1 + 2 * 10, 6 + 3 * 100 + 4 * 1000]]


@ROUTES
def test_a_connection_table_chooses_the_channels(route):
    spec = lcl.Spec(input_size=(), in_channels=3, out_channels=2, kernel_size=(), channel_table=[[2, 0], [1, 2]])
    weight = np.array([[1, 100], [10, 1000]])
    y = route.forward(spec, np.array([[5, 6, 7]]), weight, np.array([0, 0]))
    assert y.tolist() == [[7 * 1 + 5 * 10, 6 * 100 + 7 * 1000]]


@ROUTES
def test_an_inf_reaches_only_the_outputs_whose_window_holds_it(route):
    spec = lcl.Spec(input_size=5, in_channels=1, out_channels=1, kernel_size=2, padding=1, bias="none")
    x = np.array([1.0, 1, np.inf, 1, 1]).reshape(1, 5, 1)
    y = route.forward(spec, x, np.ones(spec.weight_shape), None).ravel()
    assert y.tolist() == [1, 2, math.inf, math.inf, 2, 1]


# Against each other


@settings(max_examples=150)
@given(spec=specs(), batch=st.integers(0, 3), seed=st.integers(0, 99), dtype=st.sampled_from([np.int64, np.float64]))
def test_three_routes_agree_bit_for_bit_on_integers_also_where_floats_hold_them(spec, batch, seed, dtype):
    values = operands(spec, batch, seed, dtype)
    expected = everything(reference, spec, *values)
    assert_equal(everything(batched, spec, *values), expected)
    assert_equal(everything(dense_oracle, spec, *values), expected)


@settings(max_examples=40)
@given(spec=specs(), seed=st.integers(0, 99))
def test_the_matrix_products_do_not_depend_on_its_chunks(spec, seed):
    values = operands(spec, 3, seed, np.float32)
    whole = everything(batched, spec, *values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batched, "CHUNK_BYTES", 1)
        assert_equal(everything(batched, spec, *values), whole)


def plain_python(spec, x, weight, bias):
    """Compute the sum of the first clause with Python integers only."""
    y = {}
    positions = product(*map(range, spec.output_size))
    for n, o, f in product(range(len(x)), positions, range(spec.out_channels)):
        total = 0 if bias is None else int(bias[(*o, f) if spec.bias == "position" else f])
        for k, (c, channel) in product(product(*map(range, spec.kernel_size)), enumerate(spec.channels[f])):
            i = [
                p * s + t * d - lo
                for p, s, t, d, (lo, _) in zip(o, spec.stride, k, spec.dilation, spec.padding, strict=True)
            ]
            if all(0 <= site < size for site, size in zip(i, spec.input_size, strict=True)):
                block = [0 if shared else p for shared, p in zip(spec.shared, o, strict=True)]
                total += int(x[(n, *i, channel)]) * int(weight[(*block, *k, c, f)])
        y[n, *o, f] = total
    return y


@settings(max_examples=40)
@given(spec=specs(), seed=st.integers(0, 99))
def test_python_integers_are_exact_far_beyond_64_bits(spec, seed):
    x, weight, bias, dy = [None if array is None else array * BIG for array in operands(spec, 2, seed, object)]
    y = lcl.forward(spec, x, weight, bias)
    assert y.dtype == object
    assert dict(np.ndenumerate(y)) == plain_python(spec, x, weight, bias)
    assert_equal(everything(dense_oracle, spec, x, weight, bias, dy), everything(reference, spec, x, weight, bias, dy))


# Identities


@given(spec=specs(), seed=st.integers(0, 99))
def test_the_bias_gradient_is_the_adjoint_of_adding_the_bias(spec, seed):
    x, weight, bias, dy = operands(spec, 2, seed)
    db = lcl.vjp(spec, x, weight, bias, dy)[2]
    if bias is None:
        assert db is None
    else:
        assert db.shape == bias.shape
        assert np.sum(bias * db) == np.sum(np.broadcast_to(bias, dy.shape) * dy)


@given(spec=specs(), seed=st.integers(0, 99))
def test_shared_axes_share_weights_and_sum_their_gradients(spec, seed):
    x, weight, bias, dy = operands(spec, 2, seed)
    untied = lcl.Spec(**{**spec.to_dict(), "shared": False})
    copies = np.broadcast_to(weight, untied.weight_shape)
    np.testing.assert_array_equal(lcl.forward(spec, x, weight, bias), lcl.forward(untied, x, copies, bias))
    axes = tuple(number for number, shared in enumerate(spec.shared) if shared)
    dw = lcl.vjp(untied, x, copies, bias, dy)[1].sum(axis=axes, keepdims=True)
    np.testing.assert_array_equal(lcl.vjp(spec, x, weight, bias, dy)[1], dw)


@pytest.mark.parametrize(("stride", "padding"), [(1, (0, 0)), (2, (1, 2)), (3, (0, 4))])
def test_tied_kernels_are_the_correlation_of_numpy(stride, padding):
    sizes = {"input_size": 11, "in_channels": 3, "out_channels": 2, "kernel_size": 4}
    spec = lcl.Spec(**sizes, stride=stride, padding=(padding,), shared=True, bias="none")
    x, weight, _, _ = operands(spec, batch=2)
    padded = np.pad(x, ((0, 0), padding, (0, 0)))
    expected = np.zeros(spec.y_shape(2), int)
    for n, f, c in np.ndindex(2, 2, 3):
        expected[n, :, f] += np.correlate(padded[n, :, c], weight[0, :, c, f], "valid")[::stride]
    np.testing.assert_array_equal(lcl.forward(spec, x, weight), expected)


@given(spec=specs(bias="none", shared=True, channel_table=None), seed=st.integers(0, 99))
def test_tied_kernels_are_a_convolution_in_every_rank(spec, seed):
    x, weight, _, _ = operands(spec, 2, seed)
    padded = np.pad(x, ((0, 0), *spec.padding, (0, 0)))
    extent = tuple(d * (k - 1) + 1 for k, d in zip(spec.kernel_size, spec.dilation, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, tuple(range(1, spec.rank + 1)))
    steps = [slice(None, None, s) for s in spec.stride]
    windows = windows[:, *steps, ..., *(slice(None, None, d) for d in spec.dilation)]  # (n, o*, ci, k*)
    kernels = weight.reshape(*spec.kernel_size, spec.group_channels, spec.out_channels)
    taps = list(range(-spec.rank, 0))
    for f in range(spec.out_channels):
        seen = windows[:, *[slice(None)] * spec.rank, spec.channels[f]]  # (n, o*, cg, k*)
        mine = np.moveaxis(kernels[..., f], -1, 0)  # (cg, k*)
        expected = np.tensordot(seen, mine, ([-spec.rank - 1, *taps], list(range(spec.rank + 1))))
        np.testing.assert_array_equal(lcl.forward(spec, x, weight)[..., f], expected)


@pytest.mark.parametrize("size", [(), (5,), (3, 4), (2, 3, 4)])
def test_a_kernel_as_large_as_the_input_is_a_dense_layer(size):
    spec = lcl.Spec(input_size=size, in_channels=3, out_channels=5, kernel_size=size)
    x, weight, bias, _ = operands(spec, batch=2)
    y = lcl.forward(spec, x, weight, bias)
    expected = x.reshape(2, -1) @ weight.reshape(-1, 5) + bias.reshape(5)
    np.testing.assert_array_equal(y.reshape(2, 5), expected)


# Dtypes and batches

SUM = lcl.Spec(input_size=(), in_channels=258, out_channels=1, kernel_size=(), bias="none")


def test_sums_are_accumulated_in_float64_and_rounded_once():
    """Counting in the operands' own dtype would stop at 256 in bfloat16 (8 bits), and at 2**24 in float32."""
    ones = np.ones((1, 258), ml_dtypes.bfloat16)
    assert lcl.forward(SUM, ones, np.ones((258, 1), ml_dtypes.bfloat16)).tolist() == [[258.0]]
    x = np.ones((1, 258), np.float32)
    weight = np.ones((258, 1), np.float32)
    weight[0] = 2**24 - 256  # 2**24 - 256 + 257 = 2**24 + 1, which rounds to 2**24
    assert lcl.forward(SUM, x, weight).tolist() == [[2.0**24]]
    weight[0] = 2**24 - 255
    assert lcl.forward(SUM, x, weight).tolist() == [[2.0**24 + 2]]


def test_integers_give_int64_and_mixed_operands_their_common_dtype():
    x, weight = np.full((1, 258), 127, np.int8), np.full((258, 1), 127, np.int8)
    y = lcl.forward(SUM, x, weight)
    assert (y.dtype, y.tolist()) == (np.dtype(np.int64), [[258 * 127 * 127]])
    assert lcl.forward(SUM, x.astype(np.float32), weight.astype(np.float64)).dtype == np.float64
    assert lcl.forward(SUM, x.astype(np.complex64) * 1j, weight.astype(np.float32)).tolist() == [[258 * 127 * 127j]]


def test_operands_are_not_changed():
    spec = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=3, kernel_size=(2, 2), padding=1)
    values = operands(spec, dtype=np.float64)
    before = [array.copy() for array in values]
    x, weight, bias, dy = values
    for array in values:
        array.setflags(write=False)
    results = [lcl.forward(spec, x, weight, bias), *lcl.vjp(spec, x, weight, bias, dy)]
    assert_equal(values, before)
    assert not any(np.shares_memory(result, array) for result in results for array in values)
