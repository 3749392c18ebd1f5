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
        return _tensorflow.load().convert_to_tensor(array)

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
