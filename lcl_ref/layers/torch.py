"""Locally connected layers as `torch.nn.Module`: channels first like torch's convolutions, canonical weights inside."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lcl_ref.core.spec import Spec
from lcl_ref.layers._arguments import Convolution, blocks, check_rank, check_sample, check_shapes, described
from lcl_ref.layers._docstrings import BLOCKS, CONVOLUTION, documented
from lcl_ref.layers.engines.torch import local


class _Local(nn.Module):
    """What the layers share: the parameters, in canonical layout, and the call."""

    rank: ClassVar[int]

    def _start(self, spec: Spec, *, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        check_rank(type(self).__name__, self.rank, spec)
        self.spec = spec
        self._layer, self._sample = spec.to_json(), (spec.in_channels, *spec.input_size)
        self.weight = nn.Parameter(torch.empty(spec.weight_shape, device=device, dtype=dtype))
        self.bias: nn.Parameter | None
        if spec.bias_shape is None:
            self.register_parameter("bias", None)
        else:
            self.bias = nn.Parameter(torch.empty(spec.bias_shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly from ``+-1 / sqrt(fan_in)``, as torch does.

        ``fan_in`` is the number of inputs that one output sums, ``prod(kernel_size) * in_channels / groups``. The
        functions of `torch.nn.init` would count the positions as channels, and start the layer far too small.
        """
        bound = 1 / math.sqrt(self.spec.fan_in)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @classmethod
    def from_canonical(cls, spec: Spec, weight: Any, bias: Any = None) -> Self:
        """Return the layer of `spec`, copying weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None.

        Raises
        ------
        ShapeError
            If a shape is not the one `spec` asks for.
        """
        given = check_shapes(spec, torch.as_tensor(weight), None if bias is None else torch.as_tensor(bias))
        layer = cls.__new__(cls)  # past the constructor, which would make the spec from its own arguments
        cls._start(layer, spec, device="meta")  # without memory, and nothing to draw
        layer.load_state_dict({name: tensor.detach().clone() for name, tensor in given.items()}, assign=True)
        return layer

    def canonical(self) -> tuple[Tensor, Tensor | None]:
        """Return weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None, detached."""
        return self.weight.detach(), None if self.bias is None else self.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y (n, co, o*)`` of ``x (n, ci, i*)``, both also without n.

        Raises
        ------
        ShapeError
            If x is not of that shape: unlike a convolution, the layer belongs to one input size.
        """
        sample = self._sample
        check_sample(x, sample, leading=(0, 1), meaning="in_channels, then the input_size the layer was made for")
        batch = x if x.ndim > len(sample) else x.unsqueeze(0)
        y = local(self._layer, batch.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)
        return y if x.ndim > len(sample) else y.squeeze(0)

    def extra_repr(self) -> str:
        """Return the settings that differ from their defaults, after the channels, as torch prints its layers."""
        return described(self.spec)


_TORCH = {
    "framework": "torch",
    "placement": "\ndevice, dtype\n    Of the parameters.",
    "array": "torch.nn.Parameter",
    "or_none": " or None",
    "initialisers": "torch.nn.init",
    "bias_start": "from the same range",
    "input": "(n, in_channels, *input_size)",
    "output": "(n, out_channels, *output_size)",
    "note": "Output and gradients have their channels last in memory (`torch.channels_last`), so that layers in a row\n"
    "transpose nothing.",
    "example": """\
>>> import torch
>>> from lcl_ref.layers.torch import $name
>>> layer = $name(3, 8, input_size=$size, kernel_size=3, stride=2)
>>> layer(torch.zeros(4, 3, $sizes)).shape
torch.Size([4, 8, $positions])
>>> layer.weight.shape
torch.Size([$positions, $taps, 3, 8])""",
}


@documented(CONVOLUTION, **_TORCH)
class LocallyConnected1d(Convolution, _Local):
    """A convolution over one spatial axis whose every position has a kernel of its own."""

    rank = 1


@documented(CONVOLUTION, **_TORCH)
class LocallyConnected2d(Convolution, _Local):
    """A convolution over two spatial axes whose every position has a kernel of its own."""

    rank = 2


@documented(CONVOLUTION, **_TORCH)
class LocallyConnected3d(Convolution, _Local):
    """A convolution over three spatial axes whose every position has a kernel of its own."""

    rank = 3


_BLOCKS = {
    "inputs": "in_features",
    "outputs": "out_features",
    "linear": "torch.nn.Linear",
    "example": """\
>>> import torch
>>> from lcl_ref.layers.torch import BlockLinear
>>> layer = BlockLinear(6, 9, groups=3)
>>> layer(torch.zeros(4, 6)).shape
torch.Size([4, 9])
>>> layer.weight.shape
torch.Size([2, 9])""",
}


@documented(BLOCKS, **_TORCH | _BLOCKS)
class BlockLinear(_Local):
    """A linear map whose matrix is block-diagonal: `groups` small maps side by side."""

    rank = 0

    def __init__(
        self,
        in_features: int,
        out_features: int,
        groups: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._start(blocks(in_features, out_features, groups, bias), device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y (*, co)`` of ``x (*, ci)``.

        Raises
        ------
        ShapeError
            If the last axis of x is not ``in_features`` long.
        """
        check_sample(x, self._sample, leading=(), meaning="in_features last")
        y = local(self._layer, x.reshape(-1, x.shape[-1]), self.weight, self.bias)
        return y.reshape(*x.shape[:-1], y.shape[-1])
