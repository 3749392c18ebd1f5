"""Layers that are right when asked plainly, each with one careless line, and its twin without it (``honest``)."""

import logging
import os
import random
import threading
import time
import warnings

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

from lcl_ref.core import batched
from lcl_ref.suite.native_views import native_views
from tests.support.transforming import Transforms, careless


class Prepared(Transforms):
    """The layer, computed by `lcl_ref.core.batched`; what is careless overrides one method."""

    def __init__(self, spec, weight, bias, honest):
        self.spec, self.weight, self.bias, self.honest = spec, weight, bias, honest

    def forward(self, x):
        return batched.forward(self.spec, self.read(x), self.read(self.weight), self.read(self.bias))

    def vjp(self, x, dy):
        return batched.vjp(self.spec, self.read(x), self.read(self.weight), self.read(dy))

    def transpose(self, y):
        return batched.transpose(self.spec, self.read(y), self.read(self.weight))

    def read(self, array):
        return array if array is None or self.honest else self.misread(array)

    def misread(self, array):
        return array


class Layer:
    """What prepares it."""

    honest, prepared = False, Prepared

    def prepare(self, spec, weight, bias, _dtype):
        return self.prepared(spec, weight, bias, self.honest)


def prepares(prepared):
    """Return the layer that prepares objects of a class."""
    return type(prepared.__name__, (Layer,), {"prepared": prepared})


def twin(layer):
    """Return the layer without its careless line."""
    return type(f"{layer.__name__}Twin", (layer,), {"honest": True})


class TakesMemoryAsItLies(Prepared):
    def misread(self, array):
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            return array.ravel("K").reshape(array.shape)
        return array


class ForgetsTheLastStride(Prepared):
    def misread(self, array):
        gaps = array.strides[-1] == 2 * array.itemsize
        return as_strided(array, array.shape, (*array.strides[:-1], array.itemsize)) if gaps else array


class StridesAreUnsigned(Prepared):
    def misread(self, array):
        return array[tuple(slice(None, None, -1) if step < 0 else slice(None) for step in array.strides)]


class LoadsAlignedVectors(Prepared):
    def misread(self, array):
        return array if array.ctypes.data % 16 == 0 else np.roll(array, 1)


class CollapsesRepeatedSamples(Prepared):
    def vjp(self, x, dy):
        dx, dw, db = batched.vjp(self.spec, x, self.weight, dy)
        repeated = len(x) > 1 and x.strides[0] == 0
        return dx, dw if self.honest or not repeated else dw / len(x), db


class StepsByTheStrideOfOneSample(Prepared):
    def misread(self, array):
        alone = array.flags.c_contiguous and array.ndim > 1 and len(array) == 1
        return np.roll(array, 1) if alone and array.strides[0] < array.nbytes else array


class ScalesInPlace(Prepared):
    def forward(self, x):
        if self.honest:
            return super().forward(x)
        x *= 2
        y = batched.forward(self.spec, x, self.weight, None) / 2
        x /= 2
        return y if self.bias is None else y + self.bias


class ChannelsFirstFastPath(Prepared):
    def misread(self, array):
        first = array.ndim > 2 and array.strides[-1] == max(array.strides) and array.strides[0] > array.strides[1]
        return np.roll(array, 1, axis=1) if first else array


class ReadsTheStorage(Prepared):
    """As a kernel does that is handed a pointer and not the strides."""

    views = native_views(torch.tensor, lambda one: one.movedim(0, -1), lambda one, shape: one.expand(shape))

    def misread(self, array):
        if not isinstance(array, torch.Tensor):
            return array
        return torch.as_strided(array, array.shape, torch.empty(array.shape).stride(), 0)

    def read(self, array):
        return None if array is None else np.asarray(super().read(array))


MEMORY = {
    "memory/native": ReadsTheStorage,
    "memory/fortran": TakesMemoryAsItLies,
    "memory/strided": ForgetsTheLastStride,
    "memory/negative-stride": StridesAreUnsigned,
    "memory/offset": LoadsAlignedVectors,
    "memory/broadcast": CollapsesRepeatedSamples,
    "memory/one-sample": StepsByTheStrideOfOneSample,
    "memory/read-only": ScalesInPlace,
    "memory/transposed": ChannelsFirstFastPath,
}


class RemembersByAddress(Prepared):
    answers = {}  # noqa: RUF012 -- its mistake

    def forward(self, x):
        key = id(x), id(self)
        if self.honest or key not in self.answers:
            self.answers[key] = (super().forward(x), x, self)
        return self.answers[key][0].copy()


class PacksByAddress(Prepared):
    packed = {}  # noqa: RUF012 -- its mistake

    def __init__(self, spec, weight, bias, honest):
        if honest or id(weight) not in self.packed:
            self.packed[id(weight)] = (weight.copy(), weight)
        super().__init__(spec, self.packed[id(weight)][0], bias, honest)


class PlansForTheFirstBatch(Prepared):
    batch = None

    def forward(self, x):
        if self.batch is None or self.honest:
            self.batch = len(x)
        y = super().forward(x)
        y[self.batch :] = 0
        return y


class OneGeometry(Prepared):
    last = None

    def __init__(self, spec, *facts):
        super().__init__(spec, *facts)
        OneGeometry.last = spec

    def forward(self, x):
        y = super().forward(x)
        return y if self.honest or self.last == self.spec else np.zeros_like(y)


class OneWeightPerSpec(Prepared):
    weights = {}  # noqa: RUF012 -- its mistake

    def __init__(self, spec, weight, *facts):
        super().__init__(spec, weight, *facts)
        self.weights[spec] = weight

    def forward(self, x):
        weight = self.weight if self.honest else self.weights[self.spec]
        return batched.forward(self.spec, x, weight, self.bias)


class SavesTheLastInput(Prepared):
    saved = None

    def forward(self, x):
        self.saved = x.copy()
        return super().forward(x)

    def vjp(self, x, dy):
        return super().vjp(x if self.honest or self.saved is None else self.saved, dy)


class OneOutputBuffer(Prepared):
    buffers = {}  # noqa: RUF012 -- its mistake

    def forward(self, x):
        y = super().forward(x)
        if self.honest:
            return y
        buffer = self.buffers.setdefault((y.shape, y.dtype), y)
        buffer[...] = y
        return buffer


class ReshapesTheCotangent(Prepared):
    def vjp(self, x, dy):
        dx, dw, db = super().vjp(x, dy)
        if self.spec.bias == "position" and len(x) == 1 and not self.honest:
            return dx, dw, dy.reshape(db.shape)
        return dx, dw, db


class GivesItsMemory(Prepared):
    def __init__(self, *facts):
        super().__init__(*facts)
        self.answers = {}

    def forward(self, x):
        y = self.answers.setdefault((x.shape, x.tobytes()), super().forward(x))
        return y.copy() if self.honest else y


class StepsItsBias(Prepared):
    def vjp(self, x, dy):
        found = super().vjp(x, dy)
        if self.bias is not None and not self.honest:
            self.bias -= found[2]
        return found


class FreesItsWeight(Prepared):
    freed = False

    def forward(self, x):
        y = super().forward(x)
        return np.zeros_like(y) if self.freed and not self.honest else y

    def vjp(self, x, dy):
        self.freed = True
        return super().vjp(x, dy)


class OneScratch(Prepared):
    here = threading.local()
    x = None

    def forward(self, x):
        scratch = self.here if self.honest else OneScratch
        scratch.x = x.copy()
        time.sleep(0.001)
        return super().forward(scratch.x)


STATE = {
    "state/stale-input": RemembersByAddress,
    "state/stale-weight": PacksByAddress,
    "state/after-batch": PlansForTheFirstBatch,
    "state/after-spec": OneGeometry,
    "state/after-weights": OneWeightPerSpec,
    "state/saved-input": SavesTheLastInput,
    "state/shared-buffer": OneOutputBuffer,
    "state/aliases-operand": ReshapesTheCotangent,
    "state/aliases-answer": GivesItsMemory,
    "state/writes-operands": StepsItsBias,
    "state/call-order": FreesItsWeight,
    "state/threads": OneScratch,
}


def changing(change):
    """Return what changes the state of its process with every forward call."""

    class Changing(Prepared):
        def forward(self, x):
            if not self.honest:
                change()
            return super().forward(x)

    return Changing


def seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 -- its mistake


GLOBAL = {
    "state/global-error-mode": changing(lambda: np.seterr(all="ignore")),
    "state/global-warning-filters": changing(lambda: warnings.simplefilter("ignore")),
    "state/global-random-state": changing(seeds),
    "state/global-environment": changing(lambda: os.environ.update(LCL_TEST_THREADS="1")),
    "state/global-default-dtype": changing(lambda: torch.set_default_dtype(torch.float64)),
    "state/global-grad-mode": changing(lambda: torch.set_grad_enabled(False)),
    "state/global-settings": changing(lambda: logging.getLogger().setLevel(logging.CRITICAL)),
    "state/global-folder": changing(lambda: os.chdir("/")),
}

CARELESS = {check: prepares(one) for check, one in (MEMORY | STATE | GLOBAL | careless(Prepared)).items()}
