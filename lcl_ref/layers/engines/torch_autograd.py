"""The three products as differentiable functions of torch.

The products of a bilinear map are closed under differentiation: the derivative of each is made of the other two. So
derivatives of every order run tile by tile, and autograd never records the tiles.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lcl_ref.layers.engines import torch_operators as operators
from lcl_ref.layers.engines import torch_products as products
from lcl_ref.layers.engines.torch_route import wide


class _Product(torch.autograd.Function):
    """One of the three products; its derivatives are the other two, in `backward` of each."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004 -- torch's signature
        """Keep the layer, both factors, and how many axes the bias has."""
        ctx.layer, first, second, *bias = inputs
        ctx.bias_axes = bias[0].ndim if bias and bias[0] is not None else 0
        ctx.save_for_backward(first, second)


class Output(_Product):
    """``y (n, o*, co)`` of ``x (n, i*, ci)``, weight and bias."""

    @staticmethod
    def forward(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Run tile by tile."""
        if torch.compiler.is_compiling():
            return operators.output(x, weight, bias, layer)
        return products.output(layer, x, weight, bias)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the cotangents of x, weight and bias."""
        x, weight = ctx.saved_tensors
        _, wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        dx = InputCotangent.apply(ctx.layer, dy, weight) if wants_x else None
        dw = WeightCotangent.apply(ctx.layer, x, dy) if wants_weight else None
        return None, dx, dw, _bias_cotangent(ctx.bias_axes, dy) if wants_bias else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Run once per mapped element."""
        return _one_by_one(Output, info.batch_size, in_dims, arguments)


class InputCotangent(_Product):
    """``dx (n, i*, ci)`` of ``dy (n, o*, co)`` and weight."""

    @staticmethod
    def forward(layer: str, dy: Tensor, weight: Tensor) -> Tensor:
        """Run tile by tile."""
        if torch.compiler.is_compiling():
            return operators.input_cotangent(dy, weight, layer)
        return products.input_cotangent(layer, dy, weight)

    @staticmethod
    def backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
        """Return the cotangents of dy and weight."""
        dy, weight = ctx.saved_tensors
        _, wants_dy, wants_weight = ctx.needs_input_grad
        back = Output.apply(ctx.layer, ddx, weight, None) if wants_dy else None
        return None, back, WeightCotangent.apply(ctx.layer, ddx, dy) if wants_weight else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Run once per mapped element."""
        return _one_by_one(InputCotangent, info.batch_size, in_dims, arguments)


class WeightCotangent(_Product):
    """``dw (o*, k*, cg, co)`` of ``x (n, i*, ci)`` and ``dy (n, o*, co)``."""

    @staticmethod
    def forward(layer: str, x: Tensor, dy: Tensor) -> Tensor:
        """Run tile by tile."""
        if torch.compiler.is_compiling():
            return operators.weight_cotangent(x, dy, layer)
        return products.weight_cotangent(layer, x, dy)

    @staticmethod
    def backward(ctx: Any, ddw: Tensor) -> tuple[Tensor | None, ...]:
        """Return the cotangents of x and dy."""
        x, dy = ctx.saved_tensors
        _, wants_x, wants_dy = ctx.needs_input_grad
        back = InputCotangent.apply(ctx.layer, dy, ddw) if wants_x else None
        return None, back, Output.apply(ctx.layer, x, ddw, None) if wants_dy else None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Run once per mapped element."""
        return _one_by_one(WeightCotangent, info.batch_size, in_dims, arguments)


def _bias_cotangent(axes: int, dy: Tensor) -> Tensor:
    """Return ``db``, of the last `axes` axes of `dy`: its sum over the others, in the wide dtype."""
    return dy.sum(tuple(range(dy.ndim - axes)), dtype=wide(dy.dtype)).to(dy.dtype)


def _one_by_one(product: type[_Product], count: int, in_dims: Any, arguments: Any) -> tuple[Tensor, int]:
    """Stack the results of `count` calls: each fills the machine already, so nothing is gained by joining them."""
    pairs = list(zip(arguments, in_dims, strict=True))
    calls = (
        [value if axis is None else value.select(axis, number) for value, axis in pairs] for number in range(count)
    )
    return torch.stack([product.apply(*call) for call in calls]), 0
