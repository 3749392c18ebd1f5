"""Adapters on TensorFlow: a quiet import, and prepared layers by its gradient tape."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lcl_backends.support.flushing import declared_flushing
from lcl_backends.support.transforms.tensorflow import TensorflowTransforms
from lcl_ref.core.spec import Spec
from lcl_ref.suite.native_views import Reshaping

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

declared = functools.partial(
    declared_flushing, framework="tensorflow", modules=("tensorflow",), environment=ENVIRONMENT, without=WITHOUT
)
"""Makes a `Declaration` of a route on TensorFlow."""

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


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Let TensorFlow's logger say errors only, for a block."""
    logger = load().get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def tensor(array: Any) -> Any:
    """Return a tensor of the same dtype, in the memory of the array where that begins at a multiple of 64 bytes.

    `tf.convert_to_tensor` copies every array, and one that begins elsewhere twice.
    """
    return load().raw_ops.Identity(input=array)


class TensorflowLayer(TensorflowTransforms):
    """A layer of tensors, differentiated by `tf.GradientTape`.

    Parameters
    ----------
    spec, apply, weight, bias, restore
        As of `PreparedLayer`.
    compiled : bool
        Whether XLA compiles calls of more than `QUICK_PRODUCTS` products, each as a whole; the others run eagerly.
    """

    def __init__(
        self,
        spec: Spec,
        apply: Callable[..., Any],
        weight: Any,
        bias: Any,
        restore: Callable[[Spec, Any], Any] | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        self._compiled = compiled
        self._programs: dict[tuple[int, int], Any] = {}
        super().__init__(spec, apply, weight, bias, restore)

    def reshaping(self) -> Reshaping | None:
        """Return what makes the tensors that slices and transposes give; TensorFlow copies."""
        tf = load()
        return lambda tensor: tf.transpose(tensor, [*range(1, tensor.ndim), 0]), tf.broadcast_to

    def to_native(self, array: Any) -> Any:
        """Return a tensor, in the memory of the array where that is possible."""
        return tensor(array)

    def value(self, operands: Sequence[Any]) -> Any:
        """Run eagerly or compiled."""
        return self._run(0, self.apply, operands)

    def gradients(self, operands: Sequence[Any], cotangent: Any, count: int) -> Sequence[Any]:
        """Ask the tape, eagerly or compiled."""
        *rest, dx = self._run(count, functools.partial(self._y_and_gradients, count), [cotangent, *operands])
        return [dx, *rest[1:]]

    def _run(self, kind: int, function: Callable[..., Any], operands: Sequence[Any]) -> Any:
        """Call a function, whose kind is a number: eagerly, or compiled for this batch size once."""
        batch = len(operands[0])
        if not self._compiled or math.prod(self.spec.y_shape(batch)) * self.spec.fan_in <= QUICK_PRODUCTS:
            return function(*operands)
        if (kind, batch) not in self._programs:
            self._programs[kind, batch] = load().function(function, jit_compile=True).get_concrete_function(*operands)
        return self._programs[kind, batch](*operands)

    def _y_and_gradients(self, count: int, dy: Any, *operands: Any) -> tuple[Any, ...]:
        """Return ``(y, dw, db, dx)``, or of one operand ``(dx,)``.

        XLA computes results in their order, and drops the x laid out before dx.
        """
        tf = load()
        moving = operands[:count]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(moving)
            y = self.apply(*operands)
        dx, *rest = map(tf.convert_to_tensor, tape.gradient(y, list(moving), output_gradients=dy))
        return (y, *rest, dx) if rest else (dx,)
