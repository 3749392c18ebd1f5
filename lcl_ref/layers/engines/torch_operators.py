"""The three products as operators of torch (``lcl::output`` and so on): for `torch.compile` one node of its graph each.

The compiler does not look into them. Their names and arguments stay: compiled programs name them.
"""

from __future__ import annotations

from torch import Tensor
from torch.library import custom_op

from lcl_ref.layers.engines.accelerators.torch_products_of import products_of
from lcl_ref.layers.engines.torch_route import route_of


@custom_op("lcl::output", mutates_args=())
def output(x: Tensor, weight: Tensor, bias: Tensor | None, layer: str) -> Tensor:
    """Return ``y (n, o*, co)``."""
    return products_of(layer).output(layer, x, weight, bias)


@custom_op("lcl::input_cotangent", mutates_args=())
def input_gradient(dy: Tensor, weight: Tensor, layer: str) -> Tensor:
    """Return ``dx (n, i*, ci)``."""
    return products_of(layer).input_gradient(layer, dy, weight)


@custom_op("lcl::weight_cotangent", mutates_args=())
def weight_gradient(x: Tensor, dy: Tensor, layer: str) -> Tensor:
    """Return ``dw (o*, k*, cg, co)``."""
    return products_of(layer).weight_gradient(layer, x, dy)


def _shape_output(x: Tensor, weight: Tensor, bias: Tensor | None, layer: str) -> Tensor:  # noqa: ARG001 -- as the operator
    return x.new_empty(route_of(layer).spec.y_shape(x.shape[0]))


def _shape_input_gradient(dy: Tensor, weight: Tensor, layer: str) -> Tensor:  # noqa: ARG001 -- as the operator
    return dy.new_empty(route_of(layer).spec.x_shape(dy.shape[0]))


def _shape_weight_gradient(x: Tensor, dy: Tensor, layer: str) -> Tensor:  # noqa: ARG001 -- as the operator
    return dy.new_empty(route_of(layer).spec.weight_shape)


# The compiler traces without data, and asks these for the shapes of results.
output.register_fake(_shape_output)
input_gradient.register_fake(_shape_input_gradient)
weight_gradient.register_fake(_shape_weight_gradient)
