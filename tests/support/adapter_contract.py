"""What the adapters of a framework owe beside the matrix; a test module of a framework declares it."""

import math

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.core import reference
from lcl_ref.suite.formats import DTYPES, FORMATS
from lcl_ref.suite.run.registered import registered
from lcl_ref.suite.to_numpy import to_numpy
from tests.support.child import run
from tests.support.layer_answers import assert_conforms, golden, integers, random_spec, supported

READABLE = """
import importlib, sys
sys.modules.update(dict.fromkeys({frameworks}))
for name in {modules}:
    importlib.import_module(name)
"""


class AdapterContract:
    """Tests of the adapters of one framework, against the reference on small integers: equal to the last bit."""

    adapters: tuple
    frameworks: tuple[str, ...]
    """Packages without which the adapters can be read."""
    layers = 20
    """So many are drawn for each adapter and dtype; some frameworks compile a program for each."""
    batches = (1, 3, 0)

    def make(self, adapter, draw):
        """Draw a layer of the kind that an adapter computes, supported or not."""
        return random_spec(draw, tiling=adapter.declaration.capabilities.stride == "kernel")

    def pytest_generate_tests(self, metafunc):
        if "dtype" in metafunc.fixturenames:
            pairs = [(one, dtype) for one in self.adapters for dtype in one.declaration.capabilities.dtypes]
            pairs = [pair for pair in pairs if pair[1] in DTYPES]
            ids = [f"{adapter.declaration.name}-{dtype}" for adapter, dtype in pairs]
            metafunc.parametrize(("adapter", "dtype"), pairs, ids=ids)
        elif "adapter" in metafunc.fixturenames:
            metafunc.parametrize("adapter", self.adapters, ids=[adapter.declaration.name for adapter in self.adapters])

    def check(self, adapter, dtype, layers):
        draw, capabilities = np.random.default_rng(layers), adapter.declaration.capabilities
        for number in range(layers):
            spec = supported(draw, capabilities, lambda draw: self.make(adapter, draw), dtype)
            assert_conforms(adapter, spec, self.batches[number % len(self.batches)], number, dtype, largest=1)

    def test_random_layers(self, adapter, dtype):
        self.check(adapter, dtype, self.layers)

    @pytest.mark.slow
    def test_many_random_layers(self, adapter, dtype):
        self.check(adapter, dtype, 20 * self.layers)

    def one(self, adapter):
        """A layer of windows that overlap, where the adapter has such, and its operands, which can be written."""
        shared = adapter.declaration.capabilities.sharing == ("all",)
        stride = 3 if adapter.declaration.capabilities.stride == "kernel" else 1
        spec = lcl.Spec(
            input_size=6, in_channels=2, out_channels=3, kernel_size=3, stride=stride, shared=shared, bias="position"
        )
        return spec, {key: array.copy() for key, array in integers(spec, 2, 4, "float32", largest=3).items()}

    def test_a_layer_owns_its_weights(self, adapter):
        spec, operands = self.one(adapter)
        want = golden(spec, operands)
        layer = adapter.prepare(spec, operands["weight"], operands["bias"], "float32")
        operands["weight"][:], operands["bias"][:] = 9, 9
        assert np.array_equal(to_numpy(layer.forward(operands["x"])), want["y"])
        assert np.array_equal(to_numpy(layer.vjp(operands["x"], operands["dy"])[0]), want["dx"])

    def test_an_inf_and_a_nan_reach_their_windows_alone_where_declared(self, adapter, dtype):
        spec, operands = self.one(adapter)
        operands["x"][0, 0, 1], operands["x"][1, 4, 0] = math.inf, math.nan
        operands = {key: array.astype(FORMATS[dtype].dtype) for key, array in operands.items()}
        layer = adapter.prepare(spec, operands["weight"], operands["bias"], dtype)
        with np.errstate(invalid="ignore"):  # inf * 0 at a live tap is NaN
            want = reference.forward(spec, operands["x"], operands["weight"], operands["bias"])
        got = to_numpy(layer.forward(operands["x"]))
        declared = adapter.declaration.capabilities.nonfinite
        assert np.array_equal(got.astype(float), want.astype(float), equal_nan=True) == declared

    def test_declarations_are_readable_without_the_framework(self):
        modules = sorted({type(adapter).__module__ for adapter in self.adapters})
        run(program=READABLE.format(frameworks=self.frameworks, modules=modules))

    def test_registered_under_its_declared_name(self, adapter):
        name = adapter.declaration.name
        assert registered(name.partition(".")[0])[name].load() is type(adapter)
