"""Derivatives, exactly: the layer is linear in x, in the weight and in the bias, so every identity holds in integers.

``L(x, w, g) = <f(x, w), g>`` without bias is linear in each of its three arguments; `vjp` is its gradient, and the
derivative of `vjp` is `forward`, `transpose` and `vjp` again.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.cases.tiers import CORE
from lcl_ref.suite.golden.values import integers
from lcl_ref.suite.run.registered import registered

HALVES = (np.float16, ml_dtypes.bfloat16)
SMALLER = tuple(
    getattr(ml_dtypes, name)
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz")
)

LAYERS = [case for case in select(CORE) if case.values == "exact" and case.batch and not case.generated]
each_layer = pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.id)

DOUBLE = [
    (name, case)
    for name in ("torch.unfold", "torch.loop", "torch.masked", "torch.grouped_conv", "torch.conv")
    for case in LAYERS
    if registered()[name].load().declaration.capabilities.refusal(case.spec, "float32", "vjp", case.tags) is None
]


def drawn(case, names):
    """Return integer operands; a letter after the tensor's name draws another one of the same shape."""
    spec, batch = case.spec, case.batch
    shapes = {"x": spec.x_shape(batch), "w": spec.weight_shape, "g": spec.y_shape(batch), "b": spec.bias_shape}
    return [None if shapes[name[0]] is None else integers(case.id, name, shapes[name[0]], 3) for name in names.split()]


def linear(spec, x, weight):
    """Apply the layer without its bias."""
    return lcl.forward(spec, x, weight, None if spec.bias_shape is None else np.zeros(spec.bias_shape, np.int64))


def gradients(spec, x, weight, g):
    """Return dx, dw and db; the bias itself does not matter to them."""
    return lcl.vjp(spec, x, weight, None if spec.bias_shape is None else np.zeros(spec.bias_shape, np.int64), g)


def everything(spec, x, weight, bias, g):
    """Return y, dx, dw, db and the transpose of g."""
    return [lcl.forward(spec, x, weight, bias), *lcl.vjp(spec, x, weight, bias, g), lcl.transpose(spec, g, weight)]


def dot(left, right):
    return int(np.sum(left * right))


@each_layer
def test_adjoint_identities(case):
    x, w, g, b = drawn(case, "x w g b")
    dx, dw, db = gradients(case.spec, x, w, g)
    value = dot(linear(case.spec, x, w), g)
    assert dot(x, dx) == dot(w, dw) == value
    assert dot(x, lcl.transpose(case.spec, g, w)) == value
    if db is not None:
        assert dot(lcl.forward(case.spec, x, w, b), g) == value + dot(b, db)


@each_layer
def test_a_step_along_any_direction_changes_y_by_the_derivative(case):
    """The difference of two outputs is the layer of the step, and its product with g that of the step and a vjp."""
    spec = case.spec
    x, w, b, g, x_step, w_step, b_step = drawn(case, "x w b g x-step w-step b-step")
    dx, dw, db = lcl.vjp(spec, x, w, b, g)
    y = lcl.forward(spec, x, w, b)
    moved = lcl.forward(spec, x + 5 * x_step, w, b) - y
    assert np.array_equal(moved, 5 * linear(spec, x_step, w))
    assert dot(moved, g) == 5 * dot(x_step, dx)
    assert dot(lcl.forward(spec, x, w + 5 * w_step, b) - y, g) == 5 * dot(w_step, dw)
    if b is not None:
        assert dot(lcl.forward(spec, x, w, b + 5 * b_step) - y, g) == 5 * dot(b_step, db)


@each_layer
def test_the_derivative_of_vjp_is_the_layer_again(case):
    spec = case.spec
    x, w, g, x_too, w_too, g_too = drawn(case, "x w g x-too w-too g-too")
    dx, dw, _ = gradients(spec, x, w, g)
    # dx(w, g), seen by x_too: its derivative in g is the layer of x_too, in w the weight gradient of (x_too, g).
    assert dot(x_too, gradients(spec, x, w, g + g_too)[0] - dx) == dot(g_too, linear(spec, x_too, w))
    assert dot(x_too, gradients(spec, x, w + w_too, g)[0] - dx) == dot(w_too, gradients(spec, x_too, w, g)[1])
    # dw(x, g), seen by w_too: in g the layer with the weight w_too, in x the adjoint with it.
    assert dot(w_too, gradients(spec, x, w, g + g_too)[1] - dw) == dot(g_too, linear(spec, x, w_too))
    assert dot(w_too, gradients(spec, x + x_too, w, g)[1] - dw) == dot(x_too, lcl.transpose(spec, g, w_too))


def test_gradients_do_not_depend_on_what_they_are_linear_in():
    """dx does not move with x, dw not with the weight, none of them with the bias."""
    case = LAYERS[-1]
    x, w, g, b, x_too, w_too = drawn(case, "x w g b x-too w-too")
    dx, dw, db = lcl.vjp(case.spec, x, w, b, g)
    assert np.array_equal(gradients(case.spec, x_too, w, g)[0], dx)
    assert np.array_equal(gradients(case.spec, x, w_too, g)[1], dw)
    assert np.array_equal(gradients(case.spec, x_too, w_too, g)[2], db)


@pytest.mark.parametrize(("name", "case"), DOUBLE, ids=lambda value: value if isinstance(value, str) else value.id)
def test_torch_differentiates_twice_to_the_same_numbers(name, case):
    """Autograd through autograd: the gradient of ``<u, dx>`` in dy and in the weight."""
    import torch

    w, b, g, u = (array if array is None else array.astype(np.float32) for array in drawn(case, "w b g x-too"))
    layer = registered()[name].load()().prepare(case.spec, w, b, "float32")
    x = torch.zeros(case.spec.x_shape(case.batch), requires_grad=True)
    dy = torch.from_numpy(g).requires_grad_()
    (dx,) = torch.autograd.grad(layer.apply(x, *layer.held), x, dy, create_graph=True)
    own = layer._parameters[0]
    in_dy, *in_weight = torch.autograd.grad(dx, (dy, *own.tensors), torch.from_numpy(u))
    assert np.array_equal(in_dy.numpy(), linear(case.spec, u, w))
    assert np.array_equal(own.gradient(in_weight).numpy(), gradients(case.spec, u, w, g)[1])


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "padding"),
    [
        ((9,), 4, 1, 1, 0),
        ((11,), 3, 2, 2, 1),
        ((6, 7), (3, 2), (2, 1), 1, ((0, 2), (1, 0))),
        ((4, 5, 3), (2, 3, 2), 1, 1, 0),
    ],
)
def test_overlapping_windows_accumulate(size, kernel, stride, dilation, padding):
    """With ones everywhere, dx counts the (position, tap) pairs that read an element, on each axis for itself."""
    sizes = {"input_size": size, "in_channels": 2, "out_channels": 3, "kernel_size": kernel}
    spec = lcl.Spec(**sizes, stride=stride, dilation=dilation, padding=padding, bias="none")
    ones = [np.ones(shape, np.int64) for shape in (spec.x_shape(2), spec.weight_shape, spec.y_shape(2))]
    counts = np.full((), spec.out_channels)
    for axis in range(spec.rank):
        reads = [
            o * spec.stride[axis] + k * spec.dilation[axis] - spec.padding[axis][0]
            for o in range(spec.output_size[axis])
            for k in range(spec.kernel_size[axis])
        ]
        counts = np.multiply.outer(counts, np.array([reads.count(i) for i in range(size[axis])]))
    assert counts.max() > spec.out_channels
    dx, dw, db = lcl.vjp(spec, *ones[:2], None, ones[2])
    assert np.array_equal(dx, np.broadcast_to(counts[None, ..., None], dx.shape))
    assert set(np.unique(dw)) <= {0, 2}
    assert db is None


@each_layer
def test_a_batch_of_none_has_empty_dx_and_zero_dw(case):
    spec = case.spec
    _, w, _, b = drawn(case, "x w g b")
    x, g = np.zeros(spec.x_shape(0), np.int64), np.zeros(spec.y_shape(0), np.int64)
    assert lcl.forward(spec, x, w, b).shape == spec.y_shape(0)
    dx, dw, db = lcl.vjp(spec, x, w, b, g)
    assert dx.shape == lcl.transpose(spec, g, w).shape == spec.x_shape(0)
    assert dw.shape == spec.weight_shape
    assert not dw.any()
    assert db is None if b is None else db.shape == spec.bias_shape and not db.any()


@pytest.mark.parametrize("dtype", [*HALVES, *SMALLER])
@each_layer
def test_small_floats_go_in_and_come_out_rounded_once(case, dtype):
    """All floats of ml_dtypes: the gradients are those in float64, rounded to the dtype."""
    operands = [array if array is None else (array / 4).astype(dtype) for array in drawn(case, "x w b g")]
    wide = [array if array is None else array.astype(np.float64) for array in operands]
    for got, want in zip(lcl.vjp(case.spec, *operands), lcl.vjp(case.spec, *wide), strict=True):
        if want is not None:
            assert got.dtype == dtype
            with np.errstate(over="ignore", invalid="ignore"):
                assert np.array_equal(got.astype(float), want.astype(dtype).astype(float), equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@each_layer
def test_results_of_exact_cases_are_exact_in_every_dtype(case, dtype):
    """Integers as floats: no bit differs from int64 where the sums fit the significand."""
    exact = drawn(case, "x w b g")
    floats = [array if array is None else array.astype(dtype) for array in exact]
    for got, want in zip(everything(case.spec, *floats), everything(case.spec, *exact), strict=True):
        if want is not None:
            fits = np.abs(want) <= 2 ** (8 if dtype == ml_dtypes.bfloat16 else 11)
            assert got.dtype == dtype
            assert np.array_equal(got.astype(np.int64)[fits], want[fits])
