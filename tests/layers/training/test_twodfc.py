"""TwoDFC and Linear on the flattened image stay equal while they are trained on real digits."""

import pytest
import torch

from tests.layers.training.trajectories import OPTIMISERS, Image, Masked, growth_bound, largest_gap, start, train
from tests.support.marks import quick

DTYPES = [torch.float32, torch.float64]


def trained(kind, optimiser, dtype, steps=200):
    """With one block the masked Linear is a plain one."""
    return train(kind(start(dtype, 1)), optimiser, dtype, steps=steps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", quick(OPTIMISERS, every=3))
def test_trajectories_are_equal(rule, dtype):
    optimiser = OPTIMISERS[rule]
    gap = largest_gap(trained(Image, optimiser, dtype), trained(Masked, optimiser, dtype))
    assert gap <= growth_bound(optimiser, dtype, blocks=1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_trajectories_are_not_equal_under_adafactor(dtype):
    def adafactor(parameters):
        return torch.optim.Adafactor(parameters, 1e-2)

    gap = largest_gap(trained(Image, adafactor, dtype, 50), trained(Masked, adafactor, dtype, 50))
    assert gap > 1e-3
