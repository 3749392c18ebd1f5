"""Locally connected layers as `torch.nn.Module`: channels first like torch's convolutions, canonical weights inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Never, Self

import torch
from torch import Tensor, nn

from lcl_ref.core.spec import Spec
from lcl_ref.extensions.regions import Map, as_map, collapse
from lcl_ref.extensions.unequal import Blocks
from lcl_ref.layers._arguments import (
    Convolution,
    blocks,
    check_bias,
    check_rank,
    check_sample,
    check_shapes,
    collapsed,
    described,
    spread,
    stored_shapes,
)
from lcl_ref.layers._docstrings import BLOCKS, CONVOLUTION, REGIONS, UNEQUAL, UNEQUAL_ATTRIBUTES, documented
from lcl_ref.layers.engines.torch import local


class _Local(nn.Module):
    """What the layers share: the parameters, in canonical layout, and the call."""

    rank: ClassVar[int]
    regions: Tensor | None

    def _start(self, spec: Spec, *, regions: Any = None, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        check_rank(type(self).__name__, self.rank, spec)
        self.spec = spec
        self._layer, self._sample = spec.to_json(), (spec.in_channels, *spec.input_size)
        where = None if regions is None else as_map(spec, regions)
        self.register_buffer("regions", None if where is None else torch.tensor(where, device=device))
        shapes = stored_shapes(spec, where)
        self.weight = nn.Parameter(torch.empty(shapes["weight"], device=device, dtype=dtype))
        self.bias: nn.Parameter | None
        if "bias" in shapes:
            self.bias = nn.Parameter(torch.empty(shapes["bias"], device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
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
    def from_canonical(cls, spec: Spec, weight: Any, bias: Any = None, regions: Any = None) -> Self:
        """Return the layer of `spec`, copying weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None.

        Raises
        ------
        ShapeError
            If a shape is not the one `spec` asks for.
        LayoutError
            If they differ inside one of the regions.
        """
        given = check_shapes(spec, torch.as_tensor(weight), None if bias is None else torch.as_tensor(bias))
        layer = cls.__new__(cls)  # past the constructor, which would make the spec from its own arguments
        cls._start(layer, spec, regions=regions, device="meta")  # without memory, and nothing to draw
        where = None if regions is None else as_map(spec, regions)
        kept = {name: tensor.detach().clone() for name, tensor in collapsed(spec, where, given, _collapse).items()}
        layer.load_state_dict(kept | ({} if where is None else {"regions": torch.tensor(where)}), assign=True)
        return layer

    def canonical(self) -> tuple[Tensor, Tensor | None]:
        """Return weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None, detached."""
        weight, bias = spread(self.spec, self.regions, self.weight, self.bias)
        return weight.detach(), None if bias is None else bias.detach()

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
        y = local(self._layer, batch.movedim(1, -1), *spread(self.spec, self.regions, self.weight, self.bias))
        y = y.movedim(-1, 1)
        return y if x.ndim > len(sample) else y.squeeze(0)

    def __prepare_scriptable__(self) -> Never:
        """Refuse `torch.jit.script`, which asks here, also of a layer inside a model."""
        raise TypeError(
            f"{type(self).__name__} cannot be compiled by torch.jit.script, which torch has deprecated: "
            "use torch.export.export or torch.jit.trace to save it, torch.compile to speed it up"
        )

    def extra_repr(self) -> str:
        """Return the settings that differ from their defaults, after the channels, as torch prints its layers."""
        return described(self.spec, regions=None if self.regions is None else len(self.weight))


def _collapse(where: Map, tensor: Tensor, name: str) -> Tensor:
    """Return one part per region, by the bytes: NumPy lacks some dtypes of torch."""
    held = collapse(where, tensor.detach().cpu().contiguous().view(torch.uint8).numpy(), name)
    return torch.from_numpy(held).view(tensor.dtype).to(tensor.device)


_PLACEMENT = "\ndevice, dtype\n    Of the parameters."
_TORCH = {
    "framework": "torch",
    "placement": REGIONS + _PLACEMENT,
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
    "placement": _PLACEMENT,
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


_UNEQUAL = {
    "flag": "bias",
    "held": UNEQUAL_ATTRIBUTES,
    "kernels": "weights",
    "start": "from ``+-1 / sqrt(inputs)``, as `torch.nn.Linear` starts",
    "bias_start": "each part from the range of its block",
    "taken": "`from_blocks`",
    "example": """\
>>> import torch
>>> from lcl_ref.layers.torch import UnequalBlockLinear
>>> layer = UnequalBlockLinear([(2, 3), (4, 1), (1, 5)])
>>> layer(torch.zeros(4, 7)).shape
torch.Size([4, 9])
>>> [tuple(weight.shape) for weight in layer.weights]
[(2, 3), (4, 1), (1, 5)]""",
}


@documented(UNEQUAL, **_TORCH | _BLOCKS | _UNEQUAL)
class UnequalBlockLinear(nn.Module):
    """A linear map whose matrix is block-diagonal, with blocks of unequal sizes."""

    bias: nn.Parameter | None

    def __init__(
        self, sizes: Sequence[tuple[int, int]], bias: bool = True, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.blocks = Blocks(sizes)
        empty = [torch.empty(size, device=device, dtype=dtype) for size in self.blocks.sizes]
        self.weights = nn.ParameterList(map(nn.Parameter, empty))
        offsets = torch.empty(self.blocks.out_channels, device=device, dtype=dtype)
        self.register_parameter("bias", nn.Parameter(offsets) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias uniformly from ``+-1 / sqrt(inputs)`` of each block."""
        first = 0
        for weight in self.weights:
            bound = 1 / math.sqrt(len(weight))
            nn.init.uniform_(weight, -bound, bound)
            if self.bias is not None:
                nn.init.uniform_(self.bias.detach()[first : first + weight.shape[1]], -bound, bound)
                first += weight.shape[1]

    @classmethod
    def from_blocks(cls, weights: Sequence[Any], bias: Any = None) -> Self:
        """Return the layer of weights ``(inputs, outputs)``, one per block, and a bias ``(sum of outputs,)`` or None.

        Raises
        ------
        ShapeError
            If the bias has another shape.
        """
        parts = [torch.as_tensor(weight) for weight in weights]
        layer = cls([(len(part), part.shape[1]) for part in parts], bias is not None, device="meta")
        state = {f"weights.{number}": part.detach().clone() for number, part in enumerate(parts)}
        if bias is not None:
            state["bias"] = torch.as_tensor(bias).detach().clone()
            check_bias(layer.blocks, state["bias"])
        layer.load_state_dict(state, assign=True)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y (*, sum of outputs)`` of ``x (*, sum of inputs)``.

        Raises
        ------
        ShapeError
            If the last axis of x has another length.
        """
        check_sample(x, (self.blocks.in_channels,), leading=(), meaning="the inputs of all blocks last")
        parts = x.split([inputs for inputs, _ in self.blocks.sizes], -1)
        y = torch.cat([part @ weight for part, weight in zip(parts, self.weights, strict=True)], -1)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """Return the sizes of the blocks."""
        return f"{list(self.blocks.sizes)}, bias={self.bias is not None}"
