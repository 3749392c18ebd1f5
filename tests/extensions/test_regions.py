import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import low_rank, regions
from tests.extensions.arrays import integers

SPEC = lcl.Spec(
    input_size=(7, 6), in_channels=4, out_channels=6, kernel_size=(3, 2), stride=(2, 1), padding=1, groups=2
)  # 4 x 7 positions


def operands(where, spec=SPEC):
    stored = regions.shapes(spec, where)
    bias = integers(*stored["bias"], seed=7) if "bias" in stored else None
    return integers(*spec.x_shape(2)), integers(*stored["kernels"], seed=5), bias, integers(*spec.y_shape(2), seed=9)


def changed(**settings):
    return lcl.Spec.from_dict(SPEC.to_dict() | settings)


def test_one_region_is_the_convolution():
    x, kernels, bias, dy = operands(1)
    shared = changed(shared=True, bias="channel")
    weight = kernels.reshape(shared.weight_shape)
    assert np.array_equal(regions.forward(SPEC, 1, x, kernels, bias), lcl.forward(shared, x, weight, bias[0]))
    dx, dkernels, db = regions.vjp(SPEC, 1, x, kernels, bias, dy)
    expected = lcl.vjp(shared, x, weight, bias[0], dy)
    assert np.array_equal(dx, expected[0])
    assert np.array_equal(dkernels, expected[1].reshape(kernels.shape))
    assert np.array_equal(db, [expected[2]])


def test_as_many_regions_as_positions_are_the_plain_layer():
    x, kernels, bias, dy = operands(SPEC.output_size)
    weight, spread = regions.expand(SPEC, SPEC.output_size, kernels, bias)
    assert np.array_equal(weight, kernels.reshape(SPEC.weight_shape))
    found = regions.vjp(SPEC, SPEC.output_size, x, kernels, bias, dy)
    for one, other in zip(found, lcl.vjp(SPEC, x, weight, spread, dy), strict=True):
        assert np.array_equal(one.ravel(), other.ravel())


def test_regions_are_low_rank_sharing_with_one_kernel_each():
    where = regions.grid(SPEC, (2, 3))
    x, kernels, _, _ = operands(where, changed(bias="none"))
    mixing = np.eye(6)[where]
    expected = low_rank.forward(SPEC, x, mixing, kernels)
    assert np.array_equal(regions.forward(changed(bias="none"), where, x, kernels), expected)


@pytest.mark.parametrize(("size", "count"), [(9, 1), (9, 2), (9, 4), (7, 7), (10, 4)])
def test_grids_are_even(size, count):
    spec = lcl.Spec(input_size=size, in_channels=1, out_channels=1, kernel_size=1)
    sizes = np.bincount(regions.grid(spec, count))
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(regions.as_map(spec, [count]), regions.grid(spec, count))


def test_gradients_in_half_precision_are_rounded_once():
    spec = lcl.Spec(input_size=4096, in_channels=1, out_channels=1, kernel_size=1, bias="none")
    x, one = np.ones(spec.x_shape(1), np.float16), np.ones((1, 1, 1, 1), np.float16)
    _, dkernels, _ = regions.vjp(spec, 1, x, one, None, x)
    assert dkernels.dtype == np.float16
    assert dkernels.item() == 4096  # a sum in half precision stays at 2048


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((4, 6), int), r"axis ox: got 6 numbers, expected one per position, 7 = floor\(\(6 \+ 1 \+ 1"),
        (np.zeros(4, int), r"shape \(4,\), expected \(4, 7\), one number per position, or a count per axis"),
        (np.arange(28).reshape(4, 7) * 2, "28 numbers, 0 to 54, without 1"),
        (np.arange(28).reshape(4, 7) - 1, "28 numbers, -1 to 26, without 0"),
        ((2, 8), r"axis ox: got 8 regions, expected 1 to 7 = floor"),
        (5, r"axis oy: got 5 regions, expected 1 to 4 = floor"),
        ([2, 2, 2], r"shape \(3,\)"),
        (0, "got 0 regions"),
        (2.0, "got 2.0, expected whole numbers"),
        ([[0, 1], [0]], "expected whole numbers"),
        (None, "got None, expected whole numbers"),
    ],
)
def test_maps_that_are_none_are_refused_with_the_arithmetic(given, words):
    with pytest.raises(lcl.SpecError, match=words):
        regions.as_map(SPEC, given)


def test_shared_axes_and_arrays_of_another_shape_are_refused():
    with pytest.raises(lcl.SpecError, match="no shared axis beside regions"):
        regions.grid(changed(shared=[True, False]), 1)
    x, kernels, bias, _ = operands(2)
    with pytest.raises(lcl.ShapeError, match=r"\(4, 3, 2, 2, 6\).*expected.*\(9, 3, 2, 2, 6\).*9 regions"):
        regions.forward(SPEC, 3, x, kernels, bias)
    with pytest.raises(lcl.ShapeError, match="'bias'"):
        regions.forward(SPEC, 2, x, kernels)


def test_what_differs_inside_a_region_is_named():
    where = regions.grid(SPEC, 2)
    kernels = integers(4, *SPEC.weight_shape[2:])
    weight, _ = regions.expand(changed(bias="none"), where, kernels)
    assert np.array_equal(regions.collapse(where, weight), kernels)
    weight[1, 5, 2, 0, 0, 0] += 1
    with pytest.raises(lcl.LayoutError, match=r"differs between positions \(0, 4\) and \(1, 5\) of region 1"):
        regions.collapse(where, weight)
    weight[...] = np.nan
    assert np.isnan(regions.collapse(where, weight)).all(), "bits are compared, not numbers"
