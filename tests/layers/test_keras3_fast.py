"""The recommended route of Keras 3 runs the engine of the framework below, each in a process of its own."""

from pathlib import Path

import pytest

from tests.adapters.test_keras import run

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import test_keras_adapters as suite
import lcl_ref as lcl
from lcl_backends.keras3 import fast
adapter = fast.{kind}()
suite.assert_conforms(adapter, lcl.Spec(**suite.PATCHES_SPECS["dilated"]), 0, "float32")
{before}
for dtype in suite.DTYPES:
    suite.assert_conforms(adapter, lcl.Spec(**suite.PATCHES_SPECS["dilated"]), 2, dtype)
{after}
import keras
print(keras.config.backend())
"""

COUNTED = """
from lcl_ref.layers.engines import {module} as module
calls, run = [], module.{function}
module.{function} = lambda *operands, **settings: calls.append(1) or run(*operands, **settings)
"""

ENGINES = {
    "OnJax": COUNTED.format(module="jax", function="_boxed") + "module.ROOM_BYTES = -1",
    "OnTensorflow": COUNTED.format(module="tensorflow", function="_output") + "module.ROOM_BYTES = 0",
    "OnTorch": COUNTED.format(module="torch", function="local"),
}


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("OnJax", "jax"),
        pytest.param("OnTensorflow", "tensorflow", marks=pytest.mark.slow),  # the matrix asks both as well
        pytest.param("OnTorch", "torch", marks=pytest.mark.slow),
    ],
)
def test_engines_equal_the_reference_and_are_used(kind, backend):
    code = PROGRAM.format(tests=str(Path(__file__).parent), kind=kind, before=ENGINES[kind], after="assert calls")
    assert run(code).split() == [backend]
