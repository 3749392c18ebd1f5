"""A locally connected layer with overlapping windows, trained on real digits by four frameworks: one trajectory.

Each framework gives gradients in canonical layout; the optimiser is written once, in NumPy. The bound is found as in
`trajectories`: gradients moved by their full proved limit in every step.
"""

from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_digits

import lcl_ref as lcl
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.identities.identity import system
from lcl_ref.suite.judge import bounds
from lcl_ref.suite.to_numpy import to_numpy

SPEC = lcl.Spec(input_size=(8, 8), in_channels=1, out_channels=10, kernel_size=3, stride=2, padding=1, bias="none")
STEPS, BATCH = 20, 64


def sgd(_state, gradient):
    return -0.5 * gradient


def momentum(state, gradient):
    state["velocity"] = 0.9 * state.get("velocity", 0) + gradient
    return -0.1 * state["velocity"]


def adam(state, gradient):
    state["step"] = state.get("step", 0) + 1
    state["mean"] = 0.9 * state.get("mean", 0) + 0.1 * gradient
    state["square"] = 0.999 * state.get("square", 0) + 0.001 * gradient**2
    mean, square = state["mean"] / (1 - 0.9 ** state["step"]), state["square"] / (1 - 0.999 ** state["step"])
    return -0.003 * mean / (np.sqrt(square) + 1e-8)


RULES = {"sgd": sgd, "momentum": momentum, "adam": adam}


@cache
def digits():
    data = load_digits()
    return (data.images / 16).astype(np.float32)[..., None], np.eye(10, dtype=np.float32)[data.target]


def train(name, rule, disturb=None):
    weight = np.random.default_rng(0).uniform(-1 / 3, 1 / 3, SPEC.weight_shape).astype(np.float32)
    state, (images, labels) = {}, digits()
    for step in range(STEPS):
        chosen = slice(step * BATCH, (step + 1) * BATCH)
        x, layer = images[chosen], system(name).prepare(SPEC, weight, None, "float32")
        logits = to_numpy(layer.forward(x)).mean((1, 2))
        scaled = np.exp(logits - logits.max(-1, keepdims=True))
        error = (scaled / scaled.sum(-1, keepdims=True) - labels[chosen]) / BATCH
        dy = np.ascontiguousarray(np.broadcast_to((error / 16)[:, None, None], SPEC.y_shape(BATCH)), np.float32)
        dw = to_numpy(layer.vjp(x, dy)[1])
        dw = dw if disturb is None else disturb(x, weight, dy, dw)
        weight = weight + RULES[rule](state, dw).astype(np.float32)
    return weight


@cache
def by_numpy(rule):
    return train("numpy.matmul", rule)


@cache
def growth_bound(rule):
    form, stream = FORMATS["float32"], np.random.default_rng(1)

    def disturb(x, weight, dy, dw):
        size = bounds.magnitudes(SPEC, {"x": x, "weight": weight, "dy": dy})["dw"]
        moved = bounds.limit(size, dw.astype(np.float64), form, form) * stream.choice([-1, 1], dw.shape)
        return (dw + np.where(size.total > 0, moved, 0)).astype(np.float32)

    gaps = [np.abs(train("numpy.matmul", rule, disturb) - by_numpy(rule)).max() for _ in range(3)]
    return max(gaps)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["torch.unfold", "jax.patches", "mlx.windows"])
def test_trajectories_are_equal(name, rule):
    assert np.abs(train(name, rule) - by_numpy(rule)).max() <= growth_bound(rule)


@pytest.mark.parametrize("rule", RULES)
def test_the_bound_is_small_beside_what_is_learned(rule):
    start = np.random.default_rng(0).uniform(-1 / 3, 1 / 3, SPEC.weight_shape).astype(np.float32)
    assert growth_bound(rule) < np.abs(by_numpy(rule) - start).max() / 100
