"""The three products as differentiable functions of torch.

The products of a bilinear map are closed under differentiation: the derivative of each is made of the other two. So
derivatives of every order run tile by tile, and autograd never records the tiles.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from lcl_ref.layers.engines import torch_kernel
from lcl_ref.layers.engines import torch_operators as operators
from lcl_ref.layers.engines.accelerators.torch_products_of import products_of
from lcl_ref.layers.engines.torch_route import wide


class _Product(torch.autograd.Function):
    """One of the three products; its derivatives are the other two, in `backward` of each, and forwards itself."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 -- torch's signature
        """Keep the layer, both factors, and how many axes the bias has."""
        ctx.layer, first, second, *bias = inputs
        ctx.bias_axes = bias[0].ndim if bias and bias[0] is not None else 0
        ctx.save_for_backward(first, second)


def applied(product: type[_Product], *arguments: Any) -> Tensor:
    """Return the result of a product, recorded by autograd: by the plainest means, which take the least time."""
    if torch.compiler.is_compiling():  # the compiler takes no function with a `jvp`
        kind = product
    elif transformed():
        kind = _FORWARDS[product]
    elif torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in arguments[1:]):
        kind = _BACKWARDS[product]
    else:
        alone: Tensor = product.forward(*arguments)
        return alone
    result: Tensor = kind.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def transformed() -> bool:
    """Return whether a transform of `torch.func`, or forward-mode differentiation, is under way."""
    # There is no public question for either.
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0  # noqa: SLF001


class Output(_Product):
    """``y (n, o*, co)`` of ``x (n, i*, ci)``, weight and bias."""

    @staticmethod
    def forward(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Run tile by tile."""
        if torch.compiler.is_compiling():
            result: Tensor = operators.output(x, weight, bias, layer)
            return result
        return products_of(layer).output(layer, x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        _, wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        dx = applied(InputGradient, ctx.layer, dy, weight) if wants_x else None
        if wants_weight and wants_bias:
            return None, dx, *_parameter_gradients(ctx.layer, ctx.bias_axes, x, dy)
        dw = applied(WeightGradient, ctx.layer, x, dy) if wants_weight else None
        return None, dx, dw, _bias_gradient(ctx.bias_axes, dy) if wants_bias else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Run once per mapped element."""
        return _one_by_one(Output, info.batch_size, in_dims, arguments)


class InputGradient(_Product):
    """``dx (n, i*, ci)`` of ``dy (n, o*, co)`` and weight."""

    @staticmethod
    def forward(layer: str, dy: Tensor, weight: Tensor) -> Tensor:
        """Run tile by tile."""
        if torch.compiler.is_compiling():
            result: Tensor = operators.input_gradient(dy, weight, layer)
            return result
        return products_of(layer).input_gradient(layer, dy, weight)

    @staticmethod
    def backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of dy and weight."""
        dy, weight = ctx.saved_tensors
        _, wants_dy, wants_weight = ctx.needs_input_grad
        back = applied(Output, ctx.layer, ddx, weight, None) if wants_dy else None
        return None, back, applied(WeightGradient, ctx.layer, ddx, dy) if wants_weight else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Run once per mapped element."""
        return _one_by_one(InputGradient, info.batch_size, in_dims, arguments)


class WeightGradient(_Product):
    """``dw (o*, k*, cg, co)`` of ``x (n, i*, ci)`` and ``dy (n, o*, co)``."""

    @staticmethod
    def forward(layer: str, x: Tensor, dy: Tensor) -> Tensor:
        """Run tile by tile."""
        if torch.compiler.is_compiling():
            result: Tensor = operators.weight_gradient(x, dy, layer)
            return result
        return products_of(layer).weight_gradient(layer, x, dy)

    @staticmethod
    def backward(ctx: Any, ddw: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and dy."""
        x, dy = ctx.saved_tensors
        _, wants_x, wants_dy = ctx.needs_input_grad
        back = applied(InputGradient, ctx.layer, dy, ddw) if wants_x else None
        return None, back, applied(Output, ctx.layer, x, ddw, None) if wants_dy else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Run once per mapped element."""
        return _one_by_one(WeightGradient, info.batch_size, in_dims, arguments)


def _differentiated_forwards(product: type[_Product]) -> type[_Product]:
    """Return a product that has forward-mode derivatives too."""

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        product.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[1], inputs[2])

    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        return _tangent(product, ctx, *tangents)

    methods = {"setup_context": staticmethod(setup_context), "jvp": staticmethod(jvp)}
    return type(product.__name__, (product,), methods)


_FORWARDS: dict[type[_Product], type[_Product]] = {
    product: _differentiated_forwards(product) for product in (Output, InputGradient, WeightGradient)
}


def _differentiated_backwards(product: type[_Product]) -> type[_Product]:
    """Return a product without what transforms ask: torch binds its arguments in less time then."""

    def forward(ctx: Any, *arguments: Any) -> Tensor:
        product.setup_context(ctx, arguments, arguments[1])
        result: Tensor = product.forward(*arguments)
        return result

    plain = torch.autograd.Function.setup_context
    methods = {"forward": staticmethod(forward), "setup_context": plain, "backward": staticmethod(product.backward)}
    return type(product.__name__, (product,), methods)


_BACKWARDS: dict[type[_Product], type[_Product]] = {
    product: _differentiated_backwards(product) for product in (Output, InputGradient, WeightGradient)
}


def _tangent(
    product: type[_Product], ctx: Any, dfirst: Tensor | None, dsecond: Tensor | None, *dbias: Tensor | None
) -> Tensor:
    """Return the sum of the products with one factor moved each, and the bias."""
    first, second = ctx.saved_tensors
    none = [None for _ in dbias]
    if dfirst is None and dsecond is None:
        dfirst = torch.zeros_like(first)  # gives the tangent of the bias the shape of the result
    terms = [] if dfirst is None else [applied(product, ctx.layer, dfirst, second, *none)]
    terms += [] if dsecond is None else [applied(product, ctx.layer, first, dsecond, *none)]
    return reduce(operator.add, terms + [bias for bias in dbias if bias is not None])


def _parameter_gradients(layer: str, bias_axes: int, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``dw`` and ``db``: the compiled kernel makes both at once, where there is a bias per position."""
    if bias_axes == dy.ndim - 1 and not (torch.compiler.is_compiling() or torch.is_grad_enabled() or transformed()):
        db = dy.new_empty(dy.shape[1:])
        dw = torch_kernel.weight_gradient(layer, x, dy, db)
        if dw is not None:
            return dw, db
    return applied(WeightGradient, layer, x, dy), _bias_gradient(bias_axes, dy)


def _bias_gradient(axes: int, dy: Tensor) -> Tensor:
    """Return ``db``, of the last `axes` axes of `dy`: its sum over the others, in the wide dtype."""
    return dy.sum(tuple(range(dy.ndim - axes)), dtype=wide(dy.dtype)).to(dy.dtype)


def _one_by_one(product: type[_Product], count: int, in_dims: Any, arguments: Any) -> tuple[Tensor, int]:
    """Stack the results of `count` calls: each fills the machine already, so nothing is gained by joining them."""
    pairs = list(zip(arguments, in_dims, strict=True))
    calls = (
        [value if axis is None else value.select(axis, number) for value, axis in pairs] for number in range(count)
    )
    return torch.stack([applied(product, *call) for call in calls]), 0
