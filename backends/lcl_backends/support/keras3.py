"""Adapters on Keras 3: Keras on a chosen backend, whose own autodiff differentiates; `keras.ops` offers none."""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from typing import Any

from lcl_backends.support import tensorflow
from lcl_backends.support.flushing import declared_flushing
from lcl_backends.support.jax import JaxLayer
from lcl_backends.support.prepared import PreparedLayer
from lcl_backends.support.tensorflow import TensorflowLayer
from lcl_backends.support.torch import TorchLayer
from lcl_ref.core.spec import Spec
from lcl_ref.errors import AdapterError, Violation
from lcl_ref.suite.adapter import Declaration

WITHOUT = ("sklearn", "matplotlib")
"""Keras imports them for its wrappers and its plots."""


def declared(route: str, backend: str, **fields: Any) -> Declaration:
    """Return the declaration of a route of ``keras3`` on a backend; on JAX it bears the name of the route alone."""
    on_tensorflow = backend == "tensorflow"
    declare = Declaration if backend == "torch" else declared_flushing
    return declare(
        name=f"keras3.{route}" + ("" if backend == "jax" else f".{backend}"),
        framework="keras",
        modules=("keras", backend),
        environment={"KERAS_BACKEND": backend} | (tensorflow.ENVIRONMENT if on_tensorflow else {}),
        without=WITHOUT if backend == "jax" else (*WITHOUT, *tensorflow.WITHOUT),
        family=f"keras on {backend}",
        **fields,
    )


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


class KerasTorchLayer(TorchLayer):
    """A layer on torch, on the device Keras has chosen."""

    def to_native(self, array: Any) -> Any:
        """Let Keras make the tensor."""
        from keras import ops

        return ops.convert_to_tensor(array)


class KerasAdapter(ABC):
    """An adapter of `keras.ops`: one function and its parameters on whatever backend the declaration names."""

    declaration: Declaration
    compiled = False
    """Whether TensorFlow compiles it."""

    @abstractmethod
    def parts(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> tuple[Any, ...]:
        """Return `apply`, weight, bias and perhaps `restore`, as `PreparedLayer` takes them."""

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> PreparedLayer:
        """Choose the backend and hand over the weights once."""
        backend = self.declaration.modules[1]
        load(backend)
        if backend == "jax":
            import jax

            with jax.enable_x64(dtype == "float64"):
                return JaxLayer(spec, *self.parts(spec, weight, bias, dtype))
        apply, *rest = self.parts(spec, weight, bias, dtype)
        if backend == "tensorflow":
            return TensorflowLayer(spec, apply, *rest, compiled=self.compiled)
        return KerasTorchLayer(spec, apply, *rest)
