"""What prepared layers share under the transforms of any framework (SPEC clauses 8.10, 9.7 and 9.8)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lcl_backends.support.prepared import PreparedLayer

Function = Callable[..., Any]


class TransformedLayer(PreparedLayer):
    """A layer whose framework differentiates forwards and twice, maps, compiles and exports functions.

    A framework fills in the abstract methods, on native tensors: operands are ``(x, weight[, bias])`` of `apply`.
    """

    @abstractmethod
    def pushed_forward(self, operands: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Return y and its tangent."""

    @abstractmethod
    def pulled_back(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        """Return the gradients in all operands, as a function that can be transformed."""

    @abstractmethod
    def pulled_back_twice(self, operands: Sequence[Any], cotangent: Any, tangents: Sequence[Any]) -> Sequence[Any]:
        """Return the gradients, in the cotangent and all operands, of `pulled_back` weighted by `tangents`."""

    @abstractmethod
    def mapped_over(self, function: Function, axes: Sequence[int | None]) -> Function:
        """Return a function mapped over these axes of its arguments; results are stacked along their first axis."""

    @abstractmethod
    def stacked(self, tensors: Sequence[Any], axis: int) -> Any:
        """Return the tensors along a new axis."""

    @abstractmethod
    def modes(self) -> Mapping[str, Callable[[Function], Function]]:
        """Return the ways to run a function, by the words for them."""

    @abstractmethod
    def stored_and_loaded(self, x: Any) -> Function:
        """Return `apply` with the held weights, exported for such an x, stored and loaded."""

    def jvp(self, x: Any, x_dot: Any, direction: PreparedLayer) -> tuple[Any, Any]:
        """Return y and its tangent along x_dot, and along what another layer holds for weight and bias."""
        with self.scope():
            operands, tangents = [self._native(x), *self.held], [self._native(x_dot), *direction.held]
            y, y_dot = self.pushed_forward(operands, tangents)
            return self.to_numpy(y), self.to_numpy(y_dot)

    def second_derivative(self, x: Any, dy: Any, x_dot: Any, direction: PreparedLayer) -> tuple[Any, Any, Any]:
        """Return the gradients in dy, x and weight of the gradients, weighted by the same directions."""
        with self.scope():
            operands, tangents = [self._native(x), *self.held], [self._native(x_dot), *direction.held]
            of_dy, of_x, *held = self.pulled_back_twice(operands, self._native(dy), tangents)
            return self.to_numpy(of_dy), self.to_numpy(of_x), self.canonical(held)[0]

    def mapped(self, layers: Sequence[PreparedLayer] | None = None) -> Mapped:
        """Return the layer mapped over stacks of x and dy, and over the weights of `layers` where they are given."""
        return Mapped(self, layers)

    def compiled(self) -> dict[str, Run]:
        """Return the layer run in each of its modes."""
        return {words: Run(self, mode(self.apply), mode(self.pulled_back)) for words, mode in self.modes().items()}

    def exported(self, x: Any) -> Exported:
        """Return the layer as it comes out of a file, for data of the shape of x."""
        with self.scope():
            return Exported(self, self.stored_and_loaded(self._native(x)))


class Run:
    """A layer whose functions are run in another way."""

    def __init__(self, layer: TransformedLayer, forward: Function, pulled_back: Function) -> None:
        self._layer, self._forward, self._pulled_back = layer, forward, pulled_back

    def forward(self, x: Any) -> Any:
        """Return y."""
        layer = self._layer
        with layer.scope():
            return layer.to_numpy(self._forward(layer.to_native(x), *layer.held))

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)``."""
        layer = self._layer
        with layer.scope():
            gradients = self._pulled_back(layer.to_native(dy), layer.to_native(x), *layer.held)
            return layer.answered(gradients, dy)


class Exported:
    """A layer that was exported: forward alone."""

    def __init__(self, layer: TransformedLayer, function: Function) -> None:
        self._layer, self._function = layer, function

    def forward(self, x: Any) -> Any:
        """Return y."""
        with self._layer.scope():
            return self._layer.to_numpy(self._function(self._layer.to_native(x)))


class Mapped:
    """A layer mapped over a stack: ``x (m, n, i*, ci)`` and ``dy (m, n, o*, co)``.

    With weights of their own the data is mapped over its second axis, which is where they are stacked then.
    """

    def __init__(self, layer: TransformedLayer, layers: Sequence[PreparedLayer] | None) -> None:
        self._layer, self._axis, self._count = layer, 0 if layers is None else 1, len(layer.held)
        self._held, self._of_held = layer.held, [None] * self._count
        if layers is not None:
            with layer.scope():
                self._held = [layer.stacked(same, 0) for same in zip(*(one.held for one in layers), strict=True)]
            self._of_held = [0] * self._count  # type: ignore[list-item]  # axes, not None

    def forward(self, xs: Any) -> Any:
        """Return the ys, stacked."""
        layer = self._layer
        with layer.scope():
            function = layer.mapped_over(layer.apply, [self._axis, *self._of_held])
            return layer.to_numpy(function(self._stack(xs), *self._held))

    def vjp(self, xs: Any, dys: Any) -> tuple[Any, Any, Any]:
        """Return the gradients, stacked: of the weight one for each element of the stack."""
        layer = self._layer
        with layer.scope():
            function = layer.mapped_over(layer.pulled_back, [self._axis, self._axis, *self._of_held])
            dx, *held = function(self._stack(dys), self._stack(xs), *self._held)
            each = [layer.canonical([gradient[number] for gradient in held]) for number in range(len(xs))]
            weights, biases = zip(*each, strict=True)
            return layer.to_numpy(dx), np.stack(weights), None if biases[0] is None else np.stack(biases)

    def _stack(self, arrays: Any) -> Any:
        return self._layer.stacked([self._layer.to_native(array) for array in arrays], self._axis)
