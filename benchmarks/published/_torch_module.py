"""Shared by the adapters of this folder: a published `torch.nn.Module` as a prepared layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import lcl_ref as lcl
from lcl_backends.support.torch import ACCUMULATION, to_tensor
from lcl_ref.suite.adapter import Capabilities
from lcl_ref.suite.to_numpy import to_numpy

HALVES = ("float16", "bfloat16")
DTYPES = (*HALVES, "float32", "float64")
SUMS = ACCUMULATION | {f"{half}/forward": half for half in HALVES}
"""Products, sums over taps and the bias are separate operations of a module; half types are rounded between them."""


@dataclass(frozen=True, kw_only=True)
class Narrow(Capabilities):
    """Capabilities with a further limit that no field can say: a function that returns the reason, or an empty text."""

    limit: Callable[[lcl.Spec], str] = field(default=lambda _: "")

    def refusal(self, spec: lcl.Spec, dtype: str, op: str, tags: Any = ()) -> str | None:
        """Return why this is unsupported, or None."""
        return super().refusal(spec, dtype, op, tags) or self.limit(spec) or None


class TorchModule:
    """A module with its parameters put in; gradients come from autograd alone.

    Parameters
    ----------
    spec : Spec
        The layer.
    module : torch.nn.Module
        Takes ``enter(x)``; what it returns becomes ``(n, o*, co)`` by `leave`.
    layout : str
        Layout of its parameters (`lcl layouts`), which may have more or fewer axes of length 1.
    weight, bias : array
        Canonical.
    enter, leave : callable
        Between canonical data and the module's, by reshaping and permuting only.
    names : tuple of str
        What the module calls its weight and bias.
    """

    def __init__(
        self,
        spec: lcl.Spec,
        module: Any,
        layout: str,
        weight: Any,
        bias: Any,
        enter: Callable[[Any], Any] = lambda x: x,
        leave: Callable[[Any], Any] = lambda y: y,
        names: tuple[str, str] = ("weight", "bias"),
    ) -> None:
        self._spec, self._module, self._layout, self._enter, self._leave = spec, module, layout, enter, leave
        published = lcl.layouts.convert(spec, weight, bias, source="canonical", target=layout)
        self._parameters = [
            (put_in(module, name, array), array.shape)
            for name, array in zip(names, published, strict=True)
            if array is not None
        ]

    def forward(self, x: Any) -> Any:
        """Return ``y (n, o*, co)``."""
        return self._apply(to_tensor(x))

    def vjp(self, x: Any, dy: Any) -> tuple[Any, Any, Any]:
        """Return ``(dx, dw, db)`` in canonical shapes."""
        inputs = to_tensor(x).requires_grad_()
        leaves = [inputs, *(parameter for parameter, _ in self._parameters)]
        dx, *gradients = torch.autograd.grad(self._apply(inputs), leaves, to_tensor(dy))
        shapes = [shape for _, shape in self._parameters]
        dw, *db = (to_numpy(gradient).reshape(shape) for gradient, shape in zip(gradients, shapes, strict=True))
        return dx, *lcl.layouts.convert(self._spec, dw, *(db or [None]), source=self._layout, target="canonical")

    def transpose(self, y: Any) -> Any:
        """Return ``xt (n, i*, ci)``: the module is affine in x, so its gradient anywhere is its adjoint."""
        cotangent = to_tensor(y)
        inputs = torch.zeros(self._spec.x_shape(len(cotangent)), dtype=cotangent.dtype, requires_grad=True)
        return torch.autograd.grad(self._apply(inputs), inputs, cotangent)[0]

    def _apply(self, x: Any) -> Any:
        return self._leave(self._module(self._enter(x)))


def put_in(module: Any, name: str, array: Any) -> Any:
    """Put an array into a parameter of the module, and return the parameter."""
    parameter = getattr(module, name)
    lengths, needed = ([n for n in shape if n != 1] for shape in (array.shape, parameter.shape))
    if lengths != needed:
        raise ValueError(f"{name} of the module has shape {tuple(parameter.shape)}, in its layout {array.shape}")
    parameter.data = to_tensor(array).reshape(parameter.shape)
    return parameter
