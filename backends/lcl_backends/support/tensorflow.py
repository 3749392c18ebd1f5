"""Shared by the adapters that run on TensorFlow: a quiet import, and cotangents from its gradient tape."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""The routes on TensorFlow run in these on the CPU."""

WITH_COMPLEX = (*DTYPES, "complex64")

ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "TF_USE_LEGACY_KERAS": "1"}
"""What TensorFlow is to find at its import.

No start-up notices: that of oneDNN ignores the log level and goes only with oneDNN. TensorFlow imports a Keras of its
own accord; Keras 3 would take a second longer and fix its backend for good.
"""

WITHOUT = ("jax", "scipy")
"""TensorFlow and Keras import them for a converter to TensorFlow Lite, checkpoints, and images."""

QUICK_PRODUCTS = 1 << 20
"""Calls of at most this many products run eagerly: compiling them takes longer than they ever would."""


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a block: frameworks read theirs during import."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@functools.cache
def load() -> Any:
    """Import TensorFlow without its notices, on the number of threads ``OMP_NUM_THREADS`` names, if it does."""
    with environment(ENVIRONMENT), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside TensorFlow's own modules
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")  # implementation 2 of tf_keras passes a deprecated argument
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        with contextlib.suppress(RuntimeError):  # TensorFlow has run something before: whoever did that chose
            tf.config.threading.set_intra_op_parallelism_threads(int(threads))
            tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    return tf


@functools.cache
def load_keras2() -> Any:
    """Import tf_keras, the Keras that still has `LocallyConnected1D` and `LocallyConnected2D`."""
    load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tf_keras
    return tf_keras


def tensor(array: Any) -> Any:
    """Return a tensor of the same dtype, in the memory of the array where that begins at a multiple of 64 bytes.

    `tf.convert_to_tensor` copies every array, and one that begins elsewhere twice.
    """
    return load().raw_ops.Identity(input=array)


def cotangents(function: Callable[..., Any], operands: Sequence[Any], cotangent: Any) -> tuple[Any, list[Any]]:
    """Return ``function(*operands)``, of tensors or variables, and their cotangents for that of the result."""
    tf = load()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(operands)
        result = function(*operands)
    gradients = tape.gradient(result, list(operands), output_gradients=cotangent)
    return result, [tf.convert_to_tensor(gradient) for gradient in gradients]


def pullback(function: Callable[..., Any], operands: Sequence[Any], cotangent: Any) -> list[Any]:
    """Return the cotangents of `operands` (tensors or variables) as arrays, for an array of that of the result."""
    return [np.asarray(gradient) for gradient in cotangents(function, operands, tensor(cotangent))[1]]


@dataclass(frozen=True)
class TensorflowLayer:
    """A layer of tensors, differentiated by `tf.GradientTape`.

    Parameters
    ----------
    spec : Spec
        The layer.
    apply : callable
        ``(x, weight[, bias]) -> y`` between tensors.
    weight, bias : tf.Tensor
        The weight in an order of numbers that `apply` takes and a reshape makes canonical; bias None where there is
        none.
    compiled : bool
        Whether XLA compiles calls of more than `QUICK_PRODUCTS` products, each as a whole; the others run eagerly.
    """

    spec: Spec
    apply: Callable[..., Any]
    weight: Any
    bias: Any
    compiled: bool
    _programs: dict[tuple[str, int], Any] = field(default_factory=dict, init=False)

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return np.asarray(self._call("apply", tensor(x), *self._held))

    def vjp(self, x: Any, dy: Any) -> Any:
        """Return ``(dx, dw, db)``."""
        _, dw, dx, *db = map(np.asarray, self._call("_y_and_cotangents", tensor(dy), tensor(x), *self._held))
        return dx, dw.reshape(self.spec.weight_shape), db[0] if db else None

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the layer is affine in x, so its gradient anywhere is its adjoint."""
        x = load().zeros(self.spec.x_shape(len(y)), self.weight.dtype)
        return pullback(lambda x: self.apply(x, *self._held), [x], y)[0]

    @property
    def _held(self) -> list[Any]:
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def _call(self, name: str, *operands: Any) -> Any:
        """Call the attribute of that name: eagerly, or compiled for this batch size once."""
        run, batch = getattr(self, name), len(operands[0])
        if not self.compiled or math.prod(self.spec.y_shape(batch)) * self.spec.fan_in <= QUICK_PRODUCTS:
            return run(*operands)
        if (name, batch) not in self._programs:
            self._programs[name, batch] = load().function(run, jit_compile=True).get_concrete_function(*operands)
        return self._programs[name, batch](*operands)

    def _y_and_cotangents(self, dy: Any, *operands: Any) -> Any:
        """Return ``(y, dw, dx[, db])``: XLA computes in this order, and drops the x laid out before dx."""
        y, (dx, dw, *db) = cotangents(self.apply, operands, dy)
        return y, dw, dx, *db


def prepared(
    spec: Spec, apply: Callable[..., Any], weight: Any, bias: Any, *, compiled: bool = False
) -> TensorflowLayer:
    """Return the layer for NumPy weight (as `apply` takes it) and bias, as constants of TensorFlow."""
    held = (None if array is None else load().constant(array) for array in (weight, bias))
    return TensorflowLayer(spec, apply, *held, compiled)
