"""The same numbers as arrays of NumPy, torch and JAX, and what a framework's autodiff makes of a function of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def integers(*shape, seed=0, largest=4):
    """Whole numbers without 0 as float64: sums of products of them are exact."""
    drawn = np.random.default_rng(seed).integers(1, largest + 1, shape)
    return (drawn * np.random.default_rng(seed + 1).choice([-1, 1], shape)).astype(np.float64)


def operands(spec):
    """An input of two samples, a weight and a bias."""
    return integers(*spec.x_shape(2)), integers(*spec.weight_shape, seed=5), integers(*spec.bias_shape, seed=7)


@dataclass(frozen=True)
class Framework:
    """How arrays get in and out, and gradients ``(function, arrays, cotangent) -> list of arrays``."""

    name: str
    enter: Callable
    pull_back: Callable


def _torch_tensor(array):
    import torch

    return torch.from_numpy(np.array(array))


def _torch_pull_back(function, arrays, cotangent):
    import torch

    leaves = [_torch_tensor(array).requires_grad_() for array in arrays]
    return [part.numpy() for part in torch.autograd.grad(function(*leaves), leaves, _torch_tensor(cotangent))]


def _jax_array(array):
    import jax

    with jax.enable_x64(True):
        return jax.device_put(np.array(array))


def _jax_pull_back(function, arrays, cotangent):
    import jax

    with jax.enable_x64(True):
        _, pull_back = jax.vjp(function, *map(_jax_array, arrays))
        return [np.asarray(part) for part in pull_back(_jax_array(cotangent))]


FRAMEWORKS = [
    Framework("torch", _torch_tensor, _torch_pull_back),
    Framework("jax", _jax_array, _jax_pull_back),
]
IDS = [framework.name for framework in FRAMEWORKS]


def applied(framework, function, *arrays):
    """The function of these arrays in a framework, as NumPy in float64."""
    import jax

    with jax.enable_x64(True):
        return np.asarray(function(*map(framework.enter, arrays)))
