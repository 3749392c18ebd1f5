"""What a layer must leave as it finds it: the state of Python, NumPy and one framework, in a process of its own.

``python global_state.py KIND`` takes snapshots before and after importing the layer of that kind and before and after
calling it, then changes every part of the state in turn. It prints as JSON what the import and the call have changed,
and which changes a snapshot does not show. Keras takes its backend from ``KERAS_BACKEND``.
"""

import json
import logging
import os
import pickle
import random
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np

from lcl_ref import Spec

SPEC = Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=(3, 2), padding="same_keras_local")
WEIGHT, BIAS = np.ones(SPEC.weight_shape, np.float32), np.ones(SPEC.bias_shape, np.float32)
X = np.ones(SPEC.x_shape(2), np.float32)


def loggers():
    found = {name: log for name, log in logging.root.manager.loggerDict.items() if isinstance(log, logging.Logger)}
    found["root"] = logging.root
    told = {name: (log.level, log.disabled, log.propagate, len(log.handlers)) for name, log in found.items()}
    return {name: state for name, state in told.items() if state != (0, False, True, 0)}


PYTHON = {
    "logging": (loggers, lambda: logging.getLogger("tensorflow").setLevel(7)),
    "warnings": (lambda: list(warnings.filters), lambda: warnings.filterwarnings("ignore", "never said")),
    "environment": (lambda: dict(os.environ), lambda: os.environ.__setitem__("OMP_NUM_THREADS", "7")),
    "random": (random.getstate, random.random),
    "numpy random": (lambda: pickle.dumps(np.random.get_state()), np.random.random),  # noqa: NPY002 -- what others share
    "numpy errors": (np.geterr, lambda: np.seterr(under="raise")),
    "folder": (os.getcwd, lambda: os.chdir("/")),
    "path": (lambda: list(sys.path), lambda: sys.path.append("/nowhere")),
}
"""Part of the state -> how it is read, and how it is changed."""


def torch_state():
    import torch

    grad = (torch.is_grad_enabled, torch.is_inference_mode_enabled, torch.is_anomaly_enabled)
    deterministic = (torch.are_deterministic_algorithms_enabled, torch.get_deterministic_debug_mode)
    return {
        "threads": (each(torch.get_num_threads, torch.get_num_interop_threads), lambda: torch.set_num_threads(3)),
        "grad": (each(*grad), lambda: torch.set_grad_enabled(False)),
        "dtype": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
        "deterministic": (each(*deterministic), lambda: torch.use_deterministic_algorithms(True)),
        "precision": (torch.get_float32_matmul_precision, lambda: torch.set_float32_matmul_precision("medium")),
        "framework random": (lambda: torch.get_rng_state().tolist(), lambda: torch.rand(1)),
    }


def each(*questions):
    return lambda: [question() for question in questions]


def jax_state():
    import jax

    def read():
        return {name: repr(value) for name, value in jax.config.values.items()}

    return {"configuration": (read, lambda: jax.config.update("jax_enable_x64", True))}


def mlx_state():
    import mlx.core as mx

    def device():
        return str(mx.default_device()), str(mx.default_stream(mx.default_device()))

    return {
        "device": (device, lambda: mx.set_default_stream(mx.new_stream(mx.cpu))),
        "framework random": (lambda: [key.tolist() for key in mx.random.state], lambda: mx.random.seed(5)),
    }


def tensorflow_state():
    import tensorflow as tf
    from tensorflow.python.eager import context

    threads = (
        tf.config.threading.get_intra_op_parallelism_threads,
        tf.config.threading.get_inter_op_parallelism_threads,
    )
    rng, placed = lambda: repr(getattr(context.context(), "_rng", None)), tf.config.get_soft_device_placement
    # The number of threads can be set in public only before a start.
    return {
        "threads": (each(*threads), lambda: setattr(context.context(), "_intra_op_parallelism_threads", 3)),
        "eager": (
            each(tf.config.functions_run_eagerly, tf.config.optimizer.get_jit),
            lambda: tf.config.run_functions_eagerly(True),
        ),
        "framework random": (each(context.global_seed, rng), lambda: tf.random.set_seed(5)),
        "placement": (
            each(placed, tf.debugging.get_log_device_placement),
            lambda: tf.config.set_soft_device_placement(not placed()),
        ),
    }


def keras_state():
    import keras

    config = keras.config
    traced = (config.is_traceback_filtering_enabled, config.is_interactive_logging_enabled)
    usual = (config.floatx, config.epsilon, config.image_data_format, config.backend)
    return FRAMEWORKS[keras.backend.backend()]() | {
        "keras": (each(*usual), lambda: config.set_floatx("float64")),
        "policy": (lambda: config.dtype_policy().name, lambda: config.set_dtype_policy("mixed_bfloat16")),
        "tracebacks": (each(*traced), config.disable_traceback_filtering),
    }


FRAMEWORKS = {"torch": torch_state, "jax": jax_state, "mlx": mlx_state, "tensorflow": tensorflow_state}
STATES = FRAMEWORKS | {"flax_linen": jax_state, "flax_nnx": jax_state, "keras": keras_state}


def call_torch(layers):
    import torch

    layer = layers.LocallyConnected2d.from_canonical(SPEC, WEIGHT, BIAS)
    return lambda: layer(torch.from_numpy(X).movedim(-1, 1).requires_grad_()).sum().backward()


def call_mlx(layers):
    import mlx.core as mx
    from mlx import nn

    layer = layers.LocallyConnected2d.from_canonical(SPEC, WEIGHT, BIAS)
    return lambda: mx.eval(nn.value_and_grad(layer, lambda x: layer(x).sum())(mx.array(X)))


def call_flax_linen(layers):
    import jax

    layer, params = layers.LocallyConnected(SPEC), {"kernel": WEIGHT, "bias": BIAS}
    return lambda: jax.grad(lambda params, x: layer.apply({"params": params}, x).sum(), (0, 1))(params, X)


def call_flax_nnx(layers):
    from flax import nnx

    layer = layers.LocallyConnected.from_canonical(SPEC, WEIGHT, BIAS)
    return lambda: nnx.grad(lambda layer, x: layer(x).sum())(layer, X)


def call_keras(layers):
    import keras

    layer = layers.LocallyConnected2D(SPEC.out_channels, SPEC.kernel_size, padding="same", kernel_initializer="zeros")
    layer.build(X.shape)
    layer.set_canonical(WEIGHT, BIAS)
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        held = [variable.value for variable in layer.trainable_variables]
        return lambda: jax.grad(lambda held: layer.stateless_call(held, [], X)[0].sum())(held)
    if backend == "torch":
        return lambda: layer(X).sum().backward()
    import tensorflow as tf

    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(X))
        tape.gradient(loss, layer.trainable_variables)

    return step


def differences(before, after):
    return [name for name in before if before[name] != after[name]]


def main(kind):
    def snapshot():
        return {name: read() for name, (read, _) in (PYTHON | STATES[kind]()).items()}

    first = snapshot()  # imports the framework, whose own doings count for nothing
    for name in {"flax_linen": ["flax.linen"], "flax_nnx": ["flax.nnx"], "mlx": ["mlx.nn"]}.get(kind, []):
        import_module(name)
    first = snapshot()
    layers = import_module(f"lcl_ref.layers.{kind}")
    imported = snapshot()
    step = globals()[f"call_{kind}"](layers)
    made = snapshot()
    step()
    called = snapshot()
    unseen = []
    for name, (_, change) in (PYTHON | STATES[kind]()).items():
        before = snapshot()
        change()
        if name not in differences(before, snapshot()):
            unseen.append(name)
    changed = {"import": differences(first, imported), "call": differences(made, called)}
    sys.stdout.write(json.dumps(changed | {"unseen": unseen, "kept": len(first)}) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(sys.argv[1])
