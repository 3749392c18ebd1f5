"""What prepared layers of all frameworks share: NumPy in and out, weights held once, gradients by the framework."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.suite.native_views import Reshaping, Views, native_views
from lcl_ref.suite.to_numpy import to_numpy


class PreparedLayer(ABC):
    """A layer as a function of native tensors, differentiated by its framework.

    A framework fills in `to_native` and `gradients`, and may replace the other methods without an underscore.

    Parameters
    ----------
    spec : Spec
        The layer.
    apply : callable
        ``(spec, x, weight[, bias]) -> y`` between native tensors, with ``x (n, i*, ci)``, ``y (n, o*, co)`` and the
        weight in the route's own order.
    weight, bias : numpy.ndarray
        What `apply` takes, copied; bias None where there is none.
    restore : callable, optional
        ``(spec, gradient of weight as NumPy) -> (o*, k*, cg, co)``; without it, a reshape does.

    Examples
    --------
    >>> import numpy as np
    >>> class Doubling(PreparedLayer):
    ...     def to_native(self, array):
    ...         return array
    ...     def gradients(self, operands, cotangent, count):
    ...         x, weight = operands
    ...         return [cotangent * weight, np.sum(cotangent * x)][:count]
    >>> spec = Spec(input_size=(), in_channels=1, out_channels=1, kernel_size=(), bias="none")
    >>> layer = Doubling(spec, lambda spec, x, weight: x * weight, np.full((1, 1), 2.0), None)
    >>> layer.forward(np.ones((3, 1))).ravel()
    array([2., 2., 2.])
    >>> layer.vjp(np.ones((3, 1)), np.ones((3, 1)))[1]
    array([[3.]])
    """

    def __init__(
        self,
        spec: Spec,
        apply: Callable[..., Any],
        weight: Any,
        bias: Any,
        restore: Callable[[Spec, Any], Any] | None = None,
    ) -> None:
        self.spec, self._apply, self._restore = spec, apply, restore
        self.dtype = str(weight.dtype)
        with self.scope():
            self.held = self.hold(*(part for part in (weight, bias) if part is not None))

    @abstractmethod
    def to_native(self, array: Any) -> Any:
        """Return a tensor of the same dtype; it may share the array's memory."""

    @abstractmethod
    def gradients(self, operands: Sequence[Any], cotangent: Any, count: int) -> Sequence[Any]:
        """Return the gradients of ``apply(*operands)``, weighted by `cotangent`, in the first `count` operands."""

    @property
    def views(self) -> Views:
        """Ways to make a tensor of this framework that is a view, which every operation takes in place of an array."""
        reshaping = self.reshaping()
        made = native_views(self.to_native, *reshaping) if reshaping else {}
        return {words: partial(self._in_scope, view) for words, view in made.items()}

    def reshaping(self) -> Reshaping | None:
        """Return how tensors move their first axis to the end and how they are expanded; None: no `views` here."""
        return None

    def _in_scope(self, view: Callable[[Any], Any], array: Any) -> Any:
        with self.scope():
            return view(array)

    def _native(self, operand: Any) -> Any:
        """Return the operand as a tensor; it may be one already."""
        return self.to_native(operand) if isinstance(operand, np.ndarray) else operand

    def hold(self, *arrays: Any) -> list[Any]:
        """Return copies of weight and bias as tensors."""
        return [self.to_native(np.array(array, order="C")) for array in arrays]

    def to_numpy(self, tensor: Any) -> Any:
        """Return an array of the same dtype."""
        return to_numpy(tensor)

    def apply(self, *operands: Any) -> Any:
        """Return y of the operands ``(x, weight[, bias])``."""
        return self._apply(self.spec, *operands)

    def value(self, operands: Sequence[Any]) -> Any:
        """Return ``apply(*operands)``, of which no gradient will be asked."""
        return self.apply(*operands)

    def canonical(self, gradients: Sequence[Any]) -> tuple[Any, Any]:
        """Return the gradients of what is held as arrays: canonical weight, and bias or None."""
        weight, *bias = map(self.to_numpy, gradients)
        restored = self._restore(self.spec, weight) if self._restore else weight.reshape(self.spec.weight_shape)
        return restored, bias[0] if bias else None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which tensors are made and computed."""
        return contextlib.nullcontext()

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        with self.scope():
            return self.to_numpy(self.value([self._native(x), *self.held]))

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)``; db is None without bias."""
        with self.scope():
            operands = [self._native(x), *self.held]
            return self.answered(self.gradients(operands, self._native(dy), len(operands)), dy)

    def answered(self, gradients: Sequence[Any], dy: Any) -> tuple[Any, Any, Any]:
        """Return gradients of x and what is held as ``(dx, dw, db)``, none in the memory of the array `dy`.

        To a framework, a sum over one sample is that sample itself.
        """
        dw, db = self.canonical(gradients[1:])
        return _apart(self.to_numpy(gradients[0]), dy), _apart(dw, dy), _apart(db, dy)

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the layer is affine in x, so its gradient anywhere is its adjoint."""
        x = np.zeros(self.spec.x_shape(len(y)), self.dtype)
        with self.scope():
            return self.to_numpy(self.gradients([self.to_native(x), *self.held], self._native(y), 1)[0])

    def descend(self, x: Any, dy: Any, rate: float) -> Any:
        """Take a step of plain descent on what is held, as training does, and return the new weights."""
        with self.scope():
            operands = [self._native(x), *self.held]
            _, *gradients = self.gradients(operands, self._native(dy), len(operands))
            self.held = self.descended(gradients, rate)
            return self.held[0]

    def descended(self, gradients: Sequence[Any], rate: float) -> list[Any]:
        """Return what is held less `rate` times its gradients, computed."""
        return [part - rate * gradient for part, gradient in zip(self.held, gradients, strict=True)]


def _apart(answer: Any, dy: Any) -> Any:
    """Return an answer, or a copy of it if it lies in the memory of the array `dy`."""
    inside = answer is not None and isinstance(dy, np.ndarray) and np.may_share_memory(answer, dy)
    return answer.copy() if inside else answer
