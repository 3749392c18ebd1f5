"""The module whose products a layer of torch takes, by its plan."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from lcl_ref.layers.engines import torch_products
from lcl_ref.layers.engines.accelerators.plans import Plan, plan_of


class Products(Protocol):
    """The three products of a layer, which is given with its plan."""

    def output(self, layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return ``y (n, o*, co)``."""

    def input_gradient(self, layer: str, dy: Tensor, weight: Tensor) -> Tensor:
        """Return ``dx (n, i*, ci)``."""

    def weight_gradient(self, layer: str, x: Tensor, dy: Tensor) -> Tensor:
        """Return ``dw (o*, k*, cg, co)``."""


def products_of(layer: str) -> Products:
    """Return the module that makes the products of a layer."""
    if plan_of(layer) is not Plan.FUSED:
        return torch_products
    from lcl_ref.layers.engines.accelerators import triton_products

    return triton_products
