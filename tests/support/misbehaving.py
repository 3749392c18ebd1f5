"""Layers of a user's that do what layers should not; each is named in tests/suite/run/test_matrix.py."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import numpy as np

import lcl_ref


def right(spec, x, weight, bias):
    return lcl_ref.forward(spec, x, weight, bias)


def wrong_shape(spec, x, weight, bias):
    return right(spec, x, weight, bias)[..., None]


def wrong_dtype(spec, x, weight, bias):
    return right(spec, x, weight, bias).astype(np.float16)


def gives_nan(spec, x, weight, bias):
    return right(spec, x, weight, bias) * np.nan


def gives_none(*_):
    return None


def gives_text(*_):
    return "y"


def raises(*_):
    raise KeyError("no such layer")


def prints(spec, x, weight, bias):
    sys.stdout.write("to stdout from Python\n")
    sys.stdout.flush()
    os.write(1, b"to stdout past Python\n")
    subprocess.run([sys.executable, "-c", "print('to stdout from a child')"], check=True)
    return right(spec, x, weight, bias)


def exits(*_):
    sys.exit(0)


def dies(*_):
    os._exit(7)


def crashes(*_):
    ctypes.string_at(0)


def hangs(*_):
    subprocess.Popen(["sleep", os.environ["LCL_TEST_SLEEP"]])  # a number of the test run's own, to be found by
    time.sleep(600)


def dies_on_two_axes(spec, x, weight, bias):
    if spec.rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return right(spec, x, weight, bias)


def mutates(spec, x, weight, bias):
    y = right(spec, x, weight, bias)
    x += 1
    return y


class ChangesItsMind:
    calls = 0

    def forward(self, spec, x, weight, bias):
        self.calls += 1
        y = right(spec, x, weight, bias)
        y.flat[self.calls % y.size] = np.nextafter(y.flat[self.calls % y.size], y.dtype.type(np.inf))
        return y


class Declares:
    forward = staticmethod(right)

    def supports(self, spec, dtype, op):
        return True if dtype == "float32" else "float32 only"


class DeclaresNonsense:
    forward = staticmethod(right)

    def supports(self, spec, dtype, op):
        return 42


class Prepares:
    """`prepare` returns the object that is called from then on."""

    def prepare(self, spec, weight, bias, dtype):
        class Layer:
            def forward(self, x):
                return right(spec, x, weight, bias)

            def vjp(self, x, dy):
                return lcl_ref.vjp(spec, x, weight, bias, dy)

            def transpose(self, y):
                return lcl_ref.transpose(spec, y, weight)

        return Layer()


class Stateful:
    """`prepare` keeps its work on self and returns nothing."""

    def prepare(self, spec, weight, bias, dtype):
        self.doubled = weight * 2

    def forward(self, spec, x, weight, bias):
        return right(spec, x, self.doubled / 2, bias)


class NeedsArguments:
    def __init__(self, size):
        self.size = size
