"""What functions of any framework's arrays stand on: the module of an array, and the plain layer on it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

from lcl_ref import api
from lcl_ref.core import checks
from lcl_ref.core.spec import Spec

_MODULES = {"torch": "torch", "jax": "jax.numpy", "jaxlib": "jax.numpy"}


def namespace(array: Any) -> Any:
    """Return the module whose functions take the array, loaded already where there is one; NumPy for all else."""
    owner = type(array).__module__.partition(".")[0]
    return sys.modules[_MODULES.get(owner, "numpy")]


def layer(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``y (n, o*, co)`` of the plain layer, for arrays of torch and JAX by the engine of the drop-in layers.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`.
    """
    if namespace(x) is np:
        return api.forward(spec, x, weight, bias)
    _check(spec, x=x, weight=weight, bias=bias)
    return _local(spec, x, weight, bias)


def transpose(spec: Spec, y: Any, weight: Any) -> Any:
    """Return ``xt (n, i*, ci)``, for arrays of torch and JAX as the gradient of the layer, which is linear.

    Raises
    ------
    ShapeError
        If an array does not fit `spec`.
    """
    xp = namespace(y)
    if xp is np:
        return api.transpose(spec, y, weight)
    _check(spec, y=y, weight=weight)
    shape, in_torch = spec.x_shape(len(y)), xp.__name__ == "torch"
    zeros = y.new_zeros(shape) if in_torch else xp.zeros(shape, y.dtype)
    vjp = sys.modules["torch.func" if in_torch else "jax"].vjp
    return vjp(lambda x: _local(spec, x, weight), zeros)[1](y)[0]


def _check(spec: Spec, **arrays: Any) -> None:
    """Compare shapes alone, which tracers have too."""
    shapes = {name: None if one is None else np.broadcast_to(np.int8(0), one.shape) for name, one in arrays.items()}
    checks.check(spec, **shapes)


def _local(spec: Spec, x: Any, weight: Any, bias: Any = None) -> Any:
    framework = namespace(x).__name__.partition(".")[0]
    engine = import_module(f"lcl_ref.layers.engines.{framework}")
    return engine.local(spec.to_json() if framework == "torch" else spec, x, weight, bias)
