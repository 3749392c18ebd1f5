"""What every engine of the drop-in layers owes, whatever its framework; a test module of an engine declares it.

A subclass names the adapter that runs the engine, and says how its tiles are made small: layers of tests take them of
their own accord only if that is forced.
"""

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.to_numpy import to_numpy
from tests.support.layer_answers import assert_conforms, random_spec
from tests.support.marks import quick


class EngineContract:
    """Tests of one engine, against the reference on small integers: equal to the last bit."""

    adapter: object
    layers = 10
    """So many are drawn for each size of tiles; some engines compile a program for each."""

    def make_tiles(self, monkeypatch, room):
        """Have every layer computed in tiles whose windows take about `room` bytes."""
        raise NotImplementedError

    @pytest.mark.parametrize("room", quick([1, 600], 600))
    def test_tiles_give_the_answers_of_the_reference(self, monkeypatch, room):
        self.make_tiles(monkeypatch, room)
        draw = np.random.default_rng(room)
        for number in range(self.layers):
            assert_conforms(self.adapter, random_spec(draw), (1, 3, 0)[number % 3], seed=number)

    @pytest.mark.parametrize("shared", [(True, True), (False, True), (True, False)])
    def test_tiles_of_shared_weights_and_of_groups(self, monkeypatch, shared):
        self.make_tiles(monkeypatch, 2000)
        channels = {"in_channels": 4, "out_channels": 6, "groups": 2}
        spec = lcl.Spec(input_size=(7, 6), kernel_size=(3, 2), padding=1, shared=shared, **channels)
        assert_conforms(self.adapter, spec, 3)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_types_are_summed_wide_and_rounded_once(self, monkeypatch, dtype):
        """2048 + 1 + 1: in float16 each step would round back to 2048, and in bfloat16 256 + 1 + 1 to 256."""
        self.make_tiles(monkeypatch, 1)
        large = {"float16": 2048, "bfloat16": 256}[dtype]
        spec = lcl.Spec(input_size=4, in_channels=1, out_channels=1, kernel_size=3, bias="none")
        weight, x = (np.ones(shape, np.float32) for shape in (spec.weight_shape, spec.x_shape(1)))
        x[0, 0] = large
        weight, x = (array.astype(FORMATS[dtype].dtype) for array in (weight, x))
        y = to_numpy(self.adapter.prepare(spec, weight, None, dtype).forward(x))
        assert y.dtype == x.dtype
        assert y[0, 0, 0] == large + 2
