"""The Keras 3 layers: on every backend they compute the reference, and old models load into them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.keras_programs import SETTINGS

PROGRAMS = Path(__file__).with_name("keras_programs.py")
BACKENDS = ("jax", "tensorflow", "torch")


def run(*words, backend=None, program=None):
    """Run a program to its end; what it printed, or its complaint as a failure."""
    variables = {} if backend is None else {"KERAS_BACKEND": backend}
    command = [sys.executable, *(("-c", program) if program else (PROGRAMS, *words))]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def old_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    run("write", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_old_models_give_the_same_answers(old_models, backend):
    assert int(run("check", old_models, backend=backend)) == 2 * 2 * len(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_compute_the_reference_and_train(backend):
    run("layers", backend=backend)


MESSAGES = """
import keras
from lcl_backends.layers.keras import LocallyConnected2D
for make in (
    lambda: LocallyConnected2D(3, (2, 2, 2)),
    lambda: LocallyConnected2D(3, 2, padding="causal"),
    lambda: LocallyConnected2D(3, 2, implementation=4),
    lambda: LocallyConnected2D(3, 9)(keras.Input((8, 8, 2))),
    lambda: LocallyConnected2D(3, 2)(keras.Input((None, 8, 2))),
):
    try:
        make()
    except ValueError as error:
        print(str(error).replace(chr(10), " "))
"""


def test_errors_say_what_was_expected():
    kernel, padding, implementation, small, unknown = run(backend="torch", program=MESSAGES).splitlines()
    assert "kernel_size of LocallyConnected2D must be an int or 2 of them. Received: (2, 2, 2)" in kernel
    assert "padding must be one of ('valid', 'same', 'same_upper', 'same_lower'). Received: 'causal'" in padding
    assert "implementation must be one of (1, 2, 3)" in implementation
    assert "output" in small
    assert "must be known" in unknown


FANS = """
import keras
from lcl_backends.layers.keras import LocallyConnected2D
for implementation in (1, 2, 3):
    keras.utils.set_random_seed(1)
    layer = LocallyConnected2D(16, 5, implementation=implementation)
    layer.build((None, 20, 20, 3))
    print(abs(layer.canonical()[1]).max())
"""


def test_initial_weights_see_the_fans_of_one_position():
    largest = [float(line) for line in run(backend="torch", program=FANS).splitlines()]
    bound = (6 / (5 * 5 * 3 + 16)) ** 0.5
    assert largest[0] == largest[1] == largest[2]
    assert 0.99 * bound < largest[0] <= bound
