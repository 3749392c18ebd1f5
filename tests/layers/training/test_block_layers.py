"""Loop, masked, grouped and batched block-diagonal layers stay equal while they are trained on real digits."""

from functools import cache

import pytest
import torch

from tests.layers.training.trajectories import (
    OPTIMISERS,
    SYSTEMS,
    Composed,
    Loop,
    growth_bound,
    largest_gap,
    start,
    train,
)
from tests.support.marks import quick

DTYPES = [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)]
RULES = list(OPTIMISERS)


@cache
def of_the_loop(rule, dtype):
    return train(Loop(start(dtype)), OPTIMISERS[rule], dtype)


@cache
def bound(rule, dtype):
    return growth_bound(OPTIMISERS[rule], dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", quick(RULES, every=2))
def test_the_layer_learns_and_rounding_alone_does_not_drive_it_far(rule, dtype):
    """A bound as large as what is learned would allow anything."""
    learned = largest_gap(of_the_loop(rule, dtype), start(dtype))
    assert bound(rule, dtype) < learned / 100


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_trajectories_are_equal(system, rule, dtype):
    trained = train(SYSTEMS[system](start(dtype)), OPTIMISERS[rule], dtype)
    assert largest_gap(trained, of_the_loop(rule, dtype)) <= bound(rule, dtype)


@pytest.mark.parametrize("rule", quick(RULES, every=4))
def test_a_small_mistake_leaves_the_bound(rule):
    """A gradient that is off by a part in ten thousand."""

    class Mistaken(SYSTEMS["batched"]):
        def forward(self, x):
            scale = 1 + 1e-4
            return super().forward(x) * scale - super().forward(x).detach() * (scale - 1)

    trained = train(Mistaken(start(torch.float64)), OPTIMISERS[rule], torch.float64)
    assert largest_gap(trained, of_the_loop(rule, torch.float64)) > bound(rule, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("system", SYSTEMS)
def test_trajectories_are_not_equal_under_adafactor(system, dtype):
    """It keeps its second moments as sums over the last two axes, which differ between the forms of the weight."""

    def adafactor(parameters):
        return torch.optim.Adafactor(parameters, 1e-2)

    loop = train(Loop(start(dtype)), adafactor, dtype, steps=50)
    trained = train(SYSTEMS[system](start(dtype)), adafactor, dtype, steps=50)
    assert largest_gap(trained, loop) > max(bound(rule, dtype) for rule in RULES)
    assert largest_gap(trained, loop) > 1e-3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_two_layers_in_a_row_are_the_function_of_one_and_learn_otherwise(rule, dtype):
    """The gradient of a product of weights is not that of a weight: from the same function, other trajectories."""
    weight = start(dtype)
    assert torch.equal(Composed(weight).blocks(), weight)
    steps = 3
    two, one = (train(kind(weight), OPTIMISERS[rule], dtype, steps=steps) for kind in (Composed, Loop))
    assert largest_gap(two, one) > 100 * growth_bound(OPTIMISERS[rule], dtype, steps=steps)
