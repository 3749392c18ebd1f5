"""The engine of Keras 3 is that of the framework below, each in a process of its own."""

import pytest

from tests.support.child import run
from tests.support.paths import ROOT

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
import lcl_ref as lcl
from lcl_backends.keras3 import fast
from lcl_ref.suite.formats import DTYPES
from tests.support.layer_answers import assert_conforms
adapter = fast.{kind}()
spec = lcl.Spec(input_size=(7, 6), in_channels=3, out_channels=5, kernel_size=(3, 2), stride=(2, 1), dilation=(1, 2),
                padding=((1, 0), (0, 2)))
assert_conforms(adapter, spec, 0)
from lcl_ref.layers.engines import {backend} as engine
calls, run = [], engine.{function}
engine.{function} = lambda *operands, **settings: calls.append(1) or run(*operands, **settings)
engine.ROOM_BYTES = -1
for dtype in DTYPES:
    assert_conforms(adapter, spec, 2, 0, dtype)
assert calls
import keras
print(keras.config.backend())
"""


@pytest.mark.parametrize(
    ("kind", "backend", "function"),
    [
        ("OnJax", "jax", "_by_tiles"),
        ("OnTensorflow", "tensorflow", "_output"),
        ("OnTorch", "torch", "local"),
    ],
)
@pytest.mark.slow  # the matrix asks all three as well
def test_engines_equal_the_reference_and_are_used(kind, backend, function):
    code = PROGRAM.format(root=str(ROOT), kind=kind, backend=backend, function=function)
    assert run(program=code).split() == [backend]
