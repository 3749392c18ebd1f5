"""The layer as one differentiable function of torch, made of the three products of `torch_products`.

The products of a bilinear map are closed under differentiation: the derivative of each is made of the other two. So
derivatives of every order run box by box, and autograd never records the boxes. For `torch.compile` they are
operators of torch (``lcl::output`` and so on): one node of its graph each, into which it does not look.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines import torch_products as products
from lcl_ref.layers.engines import torch_route as routes
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.layers.engines.torch_route import Route, wide


def local(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias; under autocast, in its dtype.

    `layer` is `Spec.to_json` of the layer: text is what operators of torch take. Differentiable to any order in x,
    weight and bias. Where a graph is exported (`torch.export`, ONNX), operators of torch's own stand in for those of
    this module, which the other side would not know.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return plain(_read(layer).spec, x, weight, bias)
    if not torch.compiler.is_compiling():  # the compiler does not look into the choice; it takes the route of all sizes
        route = _read(layer)
        if route.blocks and route.fits(x, routes.PART_BYTES):
            return _blocks(route, x, weight, bias)
        if route.fits(x, routes.SMALL_BYTES):
            return plain(route.spec, x, weight, bias)
    return Output.apply(layer, x, weight, bias)


def _blocks(route: Route, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what `local` returns, of a layer with one position that sees all of the input.

    Thin blocks are multiplied transposed, and from a copy of the samples: the product that makes the cotangent of the
    weight takes twice as long from where they lie.
    """
    samples, matrices = _split(route, x.flatten(1)).movedim(1, 0), _split(route, weight.flatten(0, -2)).movedim(1, 0)
    added = None if bias is None else _split(route, bias.flatten())[:, None]
    if route.few_outputs or route.few_inputs:
        product = _affine(matrices.mT, samples.contiguous().mT, None if added is None else added.mT).mT
    else:
        product = _affine(samples, matrices, added)
    return product.movedim(0, 1).reshape(route.spec.y_shape(len(x))).contiguous()


def _affine(left: Tensor, right: Tensor, added: Tensor | None) -> Tensor:
    """Return the products of matrices, plus a term if any."""
    return torch.bmm(left, right) if added is None else torch.baddbmm(added, left, right)


def _split(route: Route, tensor: Tensor) -> Tensor:
    """``(*, c) -> (*, g, c/g)``."""
    return tensor.unflatten(-1, (route.groups, -1))


def plain(spec: Spec, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what `local` returns, by a few operators of torch that hold all windows at once."""
    windows = x if spec.channel_table is None else x[..., torch.from_numpy(spec.channels.reshape(-1))]
    windows = torch.nn.functional.pad(windows, [0, 0, *(side for pair in reversed(spec.padding) for side in pair)])
    for axis, (kernel, dilation, stride) in enumerate(zip(spec.kernel_size, spec.dilation, spec.stride, strict=True)):
        windows = windows.unfold(axis + 1, window_extent(kernel, dilation), stride)[..., ::dilation]
    count, rank = groups(spec), spec.rank
    windows = windows.unflatten(rank + 1, (count, -1))  # (n, o*, g, cg, k*)
    rows = windows.permute(*range(1, rank + 2), 0, *range(rank + 3, 2 * rank + 3), rank + 2).flatten(rank + 2)
    matrices = weight.flatten(rank, -2).unflatten(-1, (count, -1)).movedim(-2, rank)  # (o*, g, k*cg, co/g)
    y = torch.matmul(rows, matrices).permute(rank + 1, *range(rank + 1), rank + 2).flatten(-2)
    return y if bias is None else y + bias


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
        """Run box by box."""
        if torch.compiler.is_compiling():
            return _output(x, weight, bias, layer)
        return products.output(_read(layer), x, weight, bias)

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
        """Run box by box."""
        if torch.compiler.is_compiling():
            return _input_cotangent(dy, weight, layer)
        return products.input_cotangent(_read(layer), dy, weight)

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
        """Run box by box."""
        if torch.compiler.is_compiling():
            return _weight_cotangent(x, dy, layer)
        return products.weight_cotangent(_read(layer), x, dy)

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
    return dy.sum(tuple(range(dy.ndim - axes)), dtype=wide(dy)).to(dy.dtype)


def _one_by_one(product: type[_Product], count: int, in_dims: Any, arguments: Any) -> tuple[Tensor, int]:
    """Stack the results of `count` calls: each fills the machine already, so nothing is gained by joining them."""
    pairs = list(zip(arguments, in_dims, strict=True))
    calls = (
        [value if axis is None else value.select(axis, number) for value, axis in pairs] for number in range(count)
    )
    return torch.stack([product.apply(*call) for call in calls]), 0


@cache
def _read(layer: str) -> Route:
    return Route(Spec.from_json(layer))


@custom_op("lcl::output", mutates_args=())
def _output(x: Tensor, weight: Tensor, bias: Tensor | None, layer: str) -> Tensor:
    return products.output(_read(layer), x, weight, bias)


@custom_op("lcl::input_cotangent", mutates_args=())
def _input_cotangent(dy: Tensor, weight: Tensor, layer: str) -> Tensor:
    return products.input_cotangent(_read(layer), dy, weight)


@custom_op("lcl::weight_cotangent", mutates_args=())
def _weight_cotangent(x: Tensor, dy: Tensor, layer: str) -> Tensor:
    return products.weight_cotangent(_read(layer), x, dy)


def _shape_output(x: Tensor, weight: Tensor, bias: Tensor | None, layer: str) -> Tensor:  # noqa: ARG001 -- as the operator
    return x.new_empty(_read(layer).spec.y_shape(x.shape[0]))


def _shape_input_cotangent(dy: Tensor, weight: Tensor, layer: str) -> Tensor:  # noqa: ARG001 -- as the operator
    return dy.new_empty(_read(layer).spec.x_shape(dy.shape[0]))


def _shape_weight_cotangent(x: Tensor, dy: Tensor, layer: str) -> Tensor:  # noqa: ARG001 -- as the operator
    return dy.new_empty(_read(layer).spec.weight_shape)


# The compiler traces without data, and asks these for the shapes of results.
_output.register_fake(_shape_output)
_input_cotangent.register_fake(_shape_input_cotangent)
_weight_cotangent.register_fake(_shape_weight_cotangent)
