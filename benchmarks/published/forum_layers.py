"""The two layers that PyTorch issue 499 hands around, written anew from their description.

`LocallyConnected2d`: windows by two `unfold`, multiplied by a weight with an axis for everything, and summed; square
kernels, channels first. `LocalLinear`: windows of a vector, one small matrix each.
"""

from __future__ import annotations

from typing import Any

import torch
from _torch_module import DTYPES, SUMS, Narrow, TorchModule
from torch import nn

from lcl_ref import Spec
from lcl_ref.suite.adapter import Declaration

TRIVIAL = {"dilation": False, "padding": ("valid",), "groups": False, "sharing": ("none",), "dtypes": DTYPES}


class LocallyConnected2d(nn.Module):
    """``(n, c, h, w) -> (n, f, oh, ow)``; weight ``(1, f, c, oh, ow, k*k)``, bias ``(1, f, oh, ow)``."""

    def __init__(self, channels: int, filters: int, output_size: tuple[int, int], kernel: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, filters, channels, *output_size, kernel**2))
        self.bias = nn.Parameter(torch.randn(1, filters, *output_size))
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer."""
        patches = x.unfold(2, self.kernel, self.stride).unfold(3, self.kernel, self.stride).flatten(-2)
        return (patches.unsqueeze(1) * self.weight).sum([2, -1]) + self.bias


class LocalLinear(nn.Module):
    """``(n, l) -> (n, o, f)``; weight ``(o, k, f)``, bias ``(o, f)``."""

    def __init__(self, positions: int, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(positions, kernel, filters))
        self.bias = nn.Parameter(torch.randn(positions, filters))
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer."""
        windows = x.unfold(-1, self.kernel, self.stride)
        return torch.matmul(windows.unsqueeze(2), self.weight).squeeze(2) + self.bias


def square(spec: Spec) -> str:
    """Say what one number for both axes cannot hold."""
    return "" if len(set(spec.kernel_size)) == len(set(spec.stride)) == 1 else "kernel and stride are one number each"


class Square:
    """`LocallyConnected2d` behind the adapter protocol."""

    declaration = Declaration(
        name="forum.LocallyConnected2d",
        framework="torch",
        modules=("torch",),
        summary="Two unfolds, an elementwise product with everything, a sum.",
        layout="torch/ptrblck",
        capabilities=Narrow(ranks=(2,), bias=("position",), accumulation=SUMS, limit=square, **TRIVIAL),
        holds="products",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        sizes = spec.in_channels, spec.out_channels, spec.output_size, spec.kernel_size[0], spec.stride[0]
        return TorchModule(
            spec,
            LocallyConnected2d(*sizes),
            "torch/ptrblck",
            weight,
            bias,
            enter=lambda x: x.permute(0, 3, 1, 2),
            leave=lambda y: y.permute(0, 2, 3, 1),
        )


class Line:
    """`LocalLinear` behind the adapter protocol."""

    declaration = Declaration(
        name="forum.LocalLinear",
        framework="torch",
        modules=("torch",),
        summary="One unfold, one small matrix product per position.",
        layout="local_linear",
        capabilities=Narrow(
            ranks=(1,),
            bias=("position",),
            accumulation=SUMS,
            limit=lambda spec: "" if spec.in_channels == 1 else "one input channel",
            **TRIVIAL,
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, _dtype: str) -> TorchModule:
        """Build the module and put the weights in."""
        module = LocalLinear(*spec.output_size, spec.out_channels, *spec.kernel_size, *spec.stride)
        return TorchModule(spec, module, "local_linear", weight, bias, enter=lambda x: x.squeeze(-1))
