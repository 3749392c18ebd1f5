"""Shared by the Keras 3 adapters: Keras on a chosen backend, and the autodiff `keras.ops` does not offer.

An engine hands over arrays (`tensor`), and makes a function (`function`), or the cotangents of its first operands
(`pullback`), into something that takes arrays or tensors and returns arrays. For JAX, `lcl_backends._jax` does that.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from lcl_backends import _tensorflow
from lcl_ref.errors import AdapterError, Violation
from lcl_ref.spec import Spec

Function = Callable[..., Any]


def load(backend: str) -> None:
    """Import Keras on `backend`.

    Raises
    ------
    AdapterError
        If this process has imported Keras on another one.
    """
    if "keras" not in sys.modules:
        with _tensorflow.environment({"KERAS_BACKEND": backend}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the backends' own modules
            if backend == "tensorflow":
                _tensorflow.load()
            import keras
    import keras

    if keras.config.backend() != backend:
        got = f"Keras already imported on {keras.config.backend()!r}"
        todo = "Keras fixes its backend at its first import: run this adapter in a process of its own"
        raise AdapterError(Violation("keras/backend", "KERAS_BACKEND", got, repr(backend), todo=todo))


class TensorflowEngine:
    """Eager TensorFlow and `tf.GradientTape`."""

    def tensor(self, array: Any) -> Any:
        """Return a tensor of the same dtype."""
        return _tensorflow.tensor(array)

    def function(self, function: Function) -> Function:
        """Return `function` between arrays."""
        return lambda *arrays: np.asarray(function(*map(self.tensor, arrays)))

    def pullback(self, function: Function, wrt: int) -> Function:
        """Return ``(dy, *operands) -> cotangents`` of the first `wrt` operands."""

        def run(dy: Any, *arrays: Any) -> Any:
            operands = [self.tensor(array) for array in arrays]
            return _tensorflow.pullback(lambda *moving: function(*moving, *operands[wrt:]), operands[:wrt], dy)

        return run


class TorchEngine:
    """Eager torch and `torch.autograd`."""

    def tensor(self, array: Any) -> Any:
        """Return a tensor of the same dtype, on the device Keras has chosen."""
        from keras import ops

        return ops.convert_to_tensor(array)

    def function(self, function: Function) -> Function:
        """Return `function` between arrays."""
        import torch

        def run(*arrays: Any) -> Any:
            with torch.no_grad():
                return _torch_array(function(*map(self.tensor, arrays)))

        return run

    def pullback(self, function: Function, wrt: int) -> Function:
        """Return ``(dy, *operands) -> cotangents`` of the first `wrt` operands."""
        import torch

        def run(dy: Any, *arrays: Any) -> Any:
            operands = [self.tensor(array) for array in arrays]
            moving = [operand.detach().requires_grad_() for operand in operands[:wrt]]
            result = function(*moving, *operands[wrt:])
            return [_torch_array(part) for part in torch.autograd.grad(result, moving, self.tensor(dy))]

        return run


def _torch_array(tensor: Any) -> Any:
    """Return the values as an array; torch hands out no bfloat16 array, so its bits travel as int16."""
    import torch

    held = tensor.detach().cpu()
    return held.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if held.dtype == torch.bfloat16 else held.numpy()


class KerasLayer:
    """A layer on a backend that an engine runs and differentiates.

    Parameters
    ----------
    spec : Spec
        The layer.
    apply : callable
        ``(x, weight[, bias]) -> y`` between tensors.
    weight, bias : array
        The weight in an order of numbers that `apply` takes and a reshape makes canonical; bias None where there is
        none.
    engine : TensorflowEngine or TorchEngine
        What runs and differentiates `apply`.
    """

    def __init__(self, spec: Spec, apply: Function, weight: Any, bias: Any, engine: Any) -> None:
        arrays = [weight] + ([] if bias is None else [bias])
        self._spec = spec
        self._weights = [engine.tensor(np.array(array)) for array in arrays]  # torch would share the caller's memory
        self._forward = engine.function(apply)
        self._vjp = engine.pullback(apply, 1 + len(arrays))
        self._transpose = engine.pullback(apply, 1)

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return self._forward(x, *self._weights)

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        dx, dw, *db = self._vjp(dy, x, *self._weights)
        return dx, dw.reshape(self._spec.weight_shape), db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the layer is affine in x, so its gradient anywhere is its adjoint."""
        return self._transpose(y, np.zeros(self._spec.x_shape(len(y)), y.dtype), *self._weights)[0]
