"""One weight for all blocks of the input: three ways to write it, two of them with a convolution of kernel size 1.

A convolution of kernel size 1 reads its channels with a step of one block count between them. So blocks must be moved
behind the channels before it and back after it; where a `view` alone is used, blocks are interleaved, and every shape
still fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, Declaration
from lcl_backends.support.torch import ACCUMULATION, DTYPES, TorchLayer, declared
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


def _declaration(name: str, summary: str, layout: str) -> Declaration:
    return declared(
        name=name,
        summary=summary,
        layout=layout,
        capabilities=Capabilities(
            ranks=(1,),
            stride="kernel",
            dilation=False,
            padding=("valid",),
            groups=False,
            sharing=("all",),
            bias=("none", "channel"),
            dtypes=DTYPES,
            accumulation=ACCUMULATION,
            why={
                "ranks": "blocks lie along one axis",
                "stride": "a reshape makes blocks that lie side by side and cover the input",
                "groups": "a block is fully connected",
                "sharing": "all blocks have one weight",
                "bias": "all blocks have one bias",
            },
        ),
    )


class _Tied:
    """A weight ``(co, k*cg)`` for every block; `product` applies it to ``(n, blocks, k*cg)``."""

    declaration: Declaration
    product: Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Keep the weight as one matrix, a row per output channel."""
        return TorchLayer(spec, self._apply, weight, bias, _rows)

    def _apply(self, spec: Spec, x: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
        """``(n, i, ci) -> (n, blocks, co)``."""
        blocks = x.reshape(len(x), *spec.output_size, spec.fan_in)
        return self.product(matrix, bias, blocks).reshape(spec.y_shape(len(x)))


def _rows(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(1, k, ci, co) -> (co, k*ci)``."""
    return weight.reshape(spec.fan_in, spec.out_channels).T


def _linear(matrix: torch.Tensor, bias: torch.Tensor | None, blocks: torch.Tensor) -> torch.Tensor:
    """``(n, blocks, k*ci) -> (n, blocks, co)``."""
    from torch.nn.functional import linear

    return linear(blocks, matrix, bias)


def _conv(matrix: torch.Tensor, bias: torch.Tensor | None, blocks: torch.Tensor) -> torch.Tensor:
    """``(n, blocks, k*ci) -> (n, blocks, co)``: blocks are the sites of the convolution, so they go last and back."""
    from torch.nn.functional import conv1d

    return conv1d(blocks.transpose(1, 2).contiguous(), matrix[..., None], bias).transpose(1, 2)


def interleaved(matrix: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """``(n, width) -> (n, outputs)``: element ``j*blocks + s`` is input j of block s, ``o*blocks + s`` its output o."""
    from torch.nn.functional import conv1d

    rows, columns = matrix.shape
    seen = x.reshape(len(x), columns, x.shape[1] // columns)
    return conv1d(seen, matrix[..., None], bias).reshape(len(x), rows * seen.shape[2])


def _shuffled(matrix: torch.Tensor, bias: torch.Tensor | None, blocks: torch.Tensor) -> torch.Tensor:
    """``(n, blocks, k*ci) -> (n, blocks, co)``: perfect shuffles as index tables around `interleaved`."""
    import torch

    count, width = blocks.shape[1:]
    into = torch.arange(count * width).reshape(count, width).T.flatten()
    back = torch.arange(count * len(matrix)).reshape(len(matrix), count).T.flatten()
    return interleaved(matrix, bias, blocks.flatten(1)[:, into])[:, back]


class Linear(_Tied):
    """`torch.nn.functional.linear` on the last axis of the blocks."""

    declaration = _declaration(
        "torch.tied_linear", "One linear on the last axis of the input reshaped to (n, blocks, k*ci).", "torch/linear"
    )
    product = staticmethod(_linear)


class Conv(_Tied):
    """`torch.nn.functional.conv1d` with kernel size 1 over transposed blocks."""

    declaration = _declaration(
        "torch.tied_conv", "conv1d of kernel size 1 over the blocks, transposed before and after it.", "torch/linear"
    )
    product = staticmethod(_conv)


class Interleaved(_Tied):
    """`torch.nn.functional.conv1d` with kernel size 1 over interleaved blocks."""

    declaration = _declaration(
        "torch.tied_conv.interleaved",
        "conv1d of kernel size 1 on a view, which interleaves blocks, between a perfect shuffle and its inverse.",
        "torch/linear",
    )
    product = staticmethod(_shuffled)
