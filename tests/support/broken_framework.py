"""A framework for `tools.on_device`, on NumPy, whose contestants break in every way that one may."""

import os
import time

import numpy as np

from lcl_ref.layers.engines import numpy as engine
from tools.on_device.frameworks import Contestant


class Broken:
    """Beside the right layer one that is wrong, raises, lacks memory, is late, and ends the process."""

    device = "cpu"

    def facts(self):
        return {"device": "none", "versions": {"numpy": np.__version__}}

    def contestants(self, spec):
        def raises(_):
            raise RuntimeError("an illegal memory access was encountered\nin line two")

        def lacks(_):
            raise MemoryError("CUDA out of memory")

        bad = {
            "wrong": lambda y: y + 1,
            "raises": raises,
            "lacks memory": lacks,
            "late": lambda _: time.sleep(60),
            "ends": lambda _: os._exit(7),
        }
        return {
            name: self._by(broken) for name, broken in {"right": lambda y: y, **bad, "right too": lambda y: y}.items()
        }

    def _by(self, broken):
        def make(spec, weight, bias):
            def function(*operands):
                return broken(engine.forward(spec, *operands)), spec

            return Contestant(function, [weight, bias], lambda given: given[0])

        return make

    def to_device(self, array, dtype):
        assert dtype == "float32"
        return array

    def to_numpy(self, result):
        return result

    def wait(self, result):
        return result

    def forward(self, function, operands):
        return lambda: function(*operands)[0]

    def gradients(self, function, operands, dy):
        def call():
            _, spec = function(*operands)
            return engine.vjp(spec, *operands[:2], dy)

        return call

    step = gradients

    def copied(self, tensor):
        return tensor.copy

    def forget(self):
        pass
