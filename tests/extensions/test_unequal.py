import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.extensions import unequal
from tests.extensions.arrays import FRAMEWORKS, IDS, applied, integers

BLOCKS = unequal.Blocks([(2, 3), (4, 1), (1, 5)])
WEIGHTS = [integers(*size, seed=seed) for seed, size in enumerate(BLOCKS.sizes)]
X, BIAS = integers(3, 7), integers(9, seed=5)


def one_by_one(x, weights=WEIGHTS, bias=BIAS):
    parts = np.split(x, np.cumsum([weight.shape[0] for weight in weights])[:-1], axis=1)
    return np.concatenate([part @ weight for part, weight in zip(parts, weights, strict=True)], 1) + bias


def test_one_product_of_filled_blocks_is_the_products_of_the_blocks():
    np.testing.assert_array_equal(unequal.forward(BLOCKS, X, unequal.pack(BLOCKS, WEIGHTS), BIAS), one_by_one(X))


def test_equal_blocks_are_the_layer_of_rank_0():
    spec = lcl.Spec(input_size=(), in_channels=6, out_channels=12, kernel_size=(), groups=3)
    blocks = unequal.Blocks([(2, 4)] * 3)
    x, weight, bias = integers(3, 6), integers(2, 12), integers(12)
    packed = unequal.pack(blocks, np.split(weight, 3, 1))
    np.testing.assert_array_equal(unequal.forward(blocks, x, packed, bias), lcl.forward(spec, x, weight, bias))
    assert blocks.waste == 1


def test_waste_is_reported():
    assert BLOCKS.packed_shape == (3, 4, 5)
    assert BLOCKS.waste == 60 / 15


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=IDS)
@pytest.mark.parametrize(("bad", "reached"), [(0, slice(0, 3)), (5, slice(3, 4)), (6, slice(4, 9))])
def test_a_nan_stays_in_its_block(framework, bad, reached):
    x = X.copy()
    x[:, bad] = np.nan
    y = applied(framework, lambda x, w: unequal.forward(BLOCKS, x, w), x, unequal.pack(BLOCKS, WEIGHTS))
    expected = np.zeros(9, bool)
    expected[reached] = True
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(expected, y.shape))


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=IDS)
def test_gradients_reach_the_weights_of_the_blocks(framework):
    dy = integers(3, 9, seed=11)
    found = framework.pull_back(
        lambda *weights: unequal.forward(BLOCKS, framework.enter(X), unequal.pack(BLOCKS, weights)), WEIGHTS, dy
    )
    for part, cut, gradient in zip(np.split(X, [2, 6], 1), np.split(dy, [3, 4], 1), found, strict=True):
        np.testing.assert_array_equal(gradient, part.T @ cut)


def test_a_dense_matrix_is_cut_into_its_blocks():
    import torch

    dense = torch.block_diag(*(torch.from_numpy(weight.T.copy()) for weight in WEIGHTS))  # a weight of torch.nn.Linear
    for part, weight in zip(unequal.split(BLOCKS, dense.T), WEIGHTS, strict=True):
        np.testing.assert_array_equal(part, weight)
    with pytest.raises(lcl.ShapeError, match=r"shape \(9, 7\), expected \(7, 9\): 2\+4\+1, 3\+1\+5; a weight"):
        unequal.split(BLOCKS, dense)
    dense[4, 1] = np.nan
    with pytest.raises(lcl.LayoutError, match=r"nan at \(1, 4\), outside the blocks"):
        unequal.split(BLOCKS, dense.T)


def test_weights_of_other_sizes_are_refused():
    with pytest.raises(lcl.ShapeError, match=r"shapes \[\(4, 1\), .*expected \[\(2, 3\)"):
        unequal.pack(BLOCKS, [WEIGHTS[1], WEIGHTS[0], WEIGHTS[2]])


@pytest.mark.parametrize("sizes", [[], [(2, 0)], [(1, 1), (-1, 2)]])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(lcl.SpecError, match="sizes"):
        unequal.Blocks(sizes)
