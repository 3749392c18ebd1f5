"""Shared by the Keras 3 adapters: Keras on a chosen backend, and on torch the autodiff `keras.ops` does not offer.

On JAX and TensorFlow, `lcl_backends.support.jax` and `lcl_backends.support.tensorflow` differentiate.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from lcl_backends.support import tensorflow
from lcl_ref.core.spec import Spec
from lcl_ref.errors import AdapterError, Violation

Function = Callable[..., Any]

WITHOUT = ("sklearn", "matplotlib")
"""Keras imports them for its wrappers and its plots."""


def start(backend: str) -> dict[str, Any]:
    """Return the fields of a declaration that say what Keras on `backend` imports."""
    on_tensorflow = backend == "tensorflow"
    return {
        "modules": ("keras", backend),
        "environment": {"KERAS_BACKEND": backend} | (tensorflow.ENVIRONMENT if on_tensorflow else {}),
        "without": WITHOUT if backend == "jax" else (*WITHOUT, *tensorflow.WITHOUT),
    }


def load(backend: str) -> None:
    """Import Keras on `backend`.

    Raises
    ------
    AdapterError
        If this process has imported Keras on another one.
    """
    if "keras" not in sys.modules:
        with tensorflow.environment({"KERAS_BACKEND": backend}), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the backends' own modules
            if backend == "tensorflow":
                tensorflow.load()
            import keras
    import keras

    if keras.config.backend() != backend:
        got = f"Keras already imported on {keras.config.backend()!r}"
        todo = "Keras fixes its backend at its first import: run this adapter in a process of its own"
        raise AdapterError(Violation("keras/backend", "KERAS_BACKEND", got, repr(backend), todo=todo))


class TorchLayer:
    """A layer on torch, as Keras runs it: run eagerly, differentiated by `torch.autograd`.

    Parameters
    ----------
    spec : Spec
        The layer.
    apply : callable
        ``(x, weight[, bias]) -> y`` between tensors.
    weight, bias : array
        The weight in an order of numbers that `apply` takes and a reshape makes canonical; bias None where there is
        none.
    """

    def __init__(self, spec: Spec, apply: Function, weight: Any, bias: Any) -> None:
        arrays = [weight] + ([] if bias is None else [bias])
        self._spec, self._apply = spec, apply
        self._held = [_tensor(np.array(array)) for array in arrays]  # torch would share the caller's memory

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        import torch

        with torch.no_grad():
            return _torch_array(self._apply(_tensor(x), *self._held))

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        dx, dw, *db = self._cotangents(dy, _tensor(x), *self._held)
        return dx, dw.reshape(self._spec.weight_shape), db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the layer is affine in x, so its gradient anywhere is its adjoint."""
        return self._cotangents(y, _tensor(np.zeros(self._spec.x_shape(len(y)), y.dtype)))[0]

    def _cotangents(self, dy: Any, *operands: Any) -> Any:
        """Return, as arrays, those of the operands; the others, if any, are the layer's own."""
        import torch

        moving = [operand.detach().requires_grad_() for operand in operands]
        result = self._apply(*moving, *self._held[len(operands) - 1 :])
        return [_torch_array(part) for part in torch.autograd.grad(result, moving, _tensor(dy))]


def _tensor(array: Any) -> Any:
    """Return a tensor of the same dtype, on the device Keras has chosen."""
    from keras import ops

    return ops.convert_to_tensor(array)


def _torch_array(tensor: Any) -> Any:
    """Return the values as an array; torch hands out no bfloat16 array, so its bits travel as int16."""
    import torch

    held = tensor.detach().cpu()
    return held.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if held.dtype == torch.bfloat16 else held.numpy()
