"""Shared by the Keras 3 adapters: Keras on a chosen backend, and the autodiff `keras.ops` does not offer.

An engine hands over arrays (`tensor`), and makes a function (`function`), or the cotangents of its first operands
(`pullback`), into something that takes arrays or tensors and returns arrays.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import ml_dtypes
import numpy as np

from lcl_backends import _tensorflow
from lcl_ref.errors import AdapterError, Violation

Function = Callable[..., Any]

QUICK_COMPILE = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""XLA options that compile about six times faster, for layers that run once on a small input."""


def load(backend: str) -> Any:
    """Import Keras on `backend`.

    Raises
    ------
    AdapterError
        If this process has imported Keras on another one.
    """
    if "keras" not in sys.modules:
        with _tensorflow.environment("KERAS_BACKEND", backend), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the backends' own modules
            if backend == "tensorflow":
                _tensorflow.load()
            import keras
    import keras

    if keras.config.backend() != backend:
        got = f"Keras already imported on {keras.config.backend()!r}"
        todo = "Keras fixes its backend at its first import: run this adapter in a process of its own"
        raise AdapterError(Violation("keras/backend", "KERAS_BACKEND", got, repr(backend), todo=todo))
    return keras


class JaxEngine:
    """`jax.jit` and `jax.vjp`.

    Parameters
    ----------
    wide : bool
        Compute in float64, which JAX allows only while these functions run: the process keeps its own choice.
    quick : bool
        Compile quickly rather than well.
    """

    def __init__(self, *, wide: bool, quick: bool) -> None:
        self._wide = wide
        self._options = _known_options() if quick else None

    def tensor(self, array: Any) -> Any:
        """Return a JAX array of the same dtype."""
        import jax

        with _x64(self._wide):
            return jax.device_put(array)

    def function(self, function: Function) -> Function:
        """Return `function` compiled."""
        import jax

        compiled = jax.jit(function, compiler_options=self._options)

        def run(*operands: Any) -> Any:
            with _x64(self._wide):
                return jax.tree.map(np.asarray, compiled(*operands))

        return run

    def pullback(self, function: Function, wrt: int) -> Function:
        """Return ``(dy, *operands) -> cotangents`` of the first `wrt` operands, compiled."""
        import jax

        def run(dy: Any, *operands: Any) -> Any:
            return jax.vjp(lambda *moving: function(*moving, *operands[wrt:]), *operands[:wrt])[1](dy)

        return self.function(run)


def _x64(wide: bool) -> AbstractContextManager[Any]:
    import jax

    if not wide:
        return nullcontext()
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64  # its only name in older versions

    return enable_x64()


@functools.cache
def _known_options() -> dict[str, Any]:
    """Return those of `QUICK_COMPILE` that this XLA has: they come and go with versions."""
    import jax

    known = {}
    for name, value in QUICK_COMPILE.items():
        with suppress(jax.errors.JaxRuntimeError):
            jax.jit(lambda x: x, compiler_options={name: value})(0.0)
            known[name] = value
    return known


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
