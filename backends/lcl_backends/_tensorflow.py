"""Shared by the adapters that run on TensorFlow: a quiet import, and cotangents from its gradient tape."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""The routes on TensorFlow run in these on the CPU."""

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""Set where the user has not: no start-up notices. That of oneDNN ignores the log level and goes only with oneDNN."""


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set one environment variable for a block, which is where a framework reads it: during its import."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@functools.cache
def load() -> Any:
    """Import TensorFlow without its notices, on the number of threads ``OMP_NUM_THREADS`` names, if it does."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # TensorFlow imports a Keras of its own accord; Keras 3 would take a second longer and fix its backend for good.
    with environment("TF_USE_LEGACY_KERAS", "1"), warnings.catch_warnings():
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


def pullback(function: Callable[..., Any], operands: Sequence[Any], cotangent: Any) -> list[Any]:
    """Return, as arrays, the cotangents of `operands` (tensors or variables) for that of ``function(*operands)``."""
    tf = load()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(operands)
        result = function(*operands)
    gradients = tape.gradient(result, list(operands), output_gradients=tf.convert_to_tensor(cotangent))
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in gradients]
