"""The layer under transforms of functions, in NumPy, and layers that are right but under one of them."""

from itertools import repeat

import numpy as np

from lcl_ref.core import batched


class Transforms:
    """What a prepared layer of ``tests.support.careless`` offers besides its operations."""

    def jvp(self, x, x_dot, direction):
        moved = batched.forward(self.spec, x_dot, self.weight, direction.bias)
        return self.forward(x), moved + batched.forward(self.spec, x, direction.weight, None)

    def second_derivative(self, x, dy, x_dot, direction):
        of_weight = batched.vjp(self.spec, x_dot, self.weight, dy)[1]
        return self.jvp(x, x_dot, direction)[1], batched.transpose(self.spec, dy, direction.weight), of_weight

    def mapped(self, layers=None):
        return Stack(layers or repeat(self))

    def compiled(self):
        return {"compiled": self}

    def exported(self, _x):
        return self


class Stack:
    """Layers, each asked about one element of a stack."""

    def __init__(self, layers):
        self.layers = layers

    def forward(self, xs):
        return np.stack([layer.forward(x) for layer, x in zip(self.layers, xs, strict=False)])

    def vjp(self, xs, dys):
        each = [layer.vjp(x, dy) for layer, x, dy in zip(self.layers, xs, dys, strict=False)]
        return tuple(None if parts[0] is None else np.stack(parts) for parts in zip(*each, strict=True))


class Answers:
    """A layer that answers by a function."""

    def __init__(self, layer, forward):
        self.forward, self.vjp = forward, layer.vjp


def careless(prepared):
    """Return check -> a prepared layer that fails it, made of ``tests.support.careless.Prepared``."""

    def changed(name, **methods):
        return type(name, (prepared,), methods)

    return {
        "transform/jvp": changed("ForgetsTheMovedWeight", jvp=_along_x_and_bias),
        "transform/second-derivative": changed("TakesTheCotangentForConstant", second_derivative=_nothing_in_dy),
        "transform/vmap": changed("MapsDataOnly", mapped=_over_data),
        "transform/compiled": changed("CompilesForOneBatch", compiled=_for_one_batch),
        "transform/exported": changed("ExportsAConstant", exported=_constant),
    }


def _along_x_and_bias(self, x, x_dot, direction):
    y, y_dot = Transforms.jvp(self, x, x_dot, direction)
    return y, y_dot if self.honest else batched.forward(self.spec, x_dot, self.weight, direction.bias)


def _nothing_in_dy(self, *operands):
    of_dy, *rest = Transforms.second_derivative(self, *operands)
    return of_dy if self.honest else np.zeros_like(of_dy), *rest


def _over_data(self, layers=None):
    return Transforms.mapped(self, layers if self.honest else None)


def _for_one_batch(self):
    batches = []

    def forward(x):
        batches.append(len(x))
        y = self.forward(x)
        y[batches[0] :] = 0
        return y

    return {"compiled": self if self.honest else Answers(self, forward)}


def _constant(self, x):
    return self if self.honest else Answers(self, lambda _: self.forward(x))
