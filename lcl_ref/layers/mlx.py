"""Locally connected layers as `mlx.nn.Module`: channels last like MLX's convolutions, canonical weights inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import mlx.core as mx
import numpy as np
from mlx import nn

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
from lcl_ref.layers.engines.mlx import local
from lcl_ref.layers.engines.mlx_operands import from_numpy


class _Local(nn.Module):
    """What the layers share: the parameters, in canonical layout, and the call."""

    rank: ClassVar[int]

    def _start(self, spec: Spec, *, regions: Any = None) -> None:
        self._hold(spec, regions)
        bound, shapes = math.sqrt(1 / spec.fan_in), stored_shapes(spec, self.regions)
        self.weight = mx.random.uniform(-bound, bound, shapes["weight"])
        if "bias" in shapes:
            self.bias = self._first_bias(shapes["bias"], bound)

    def _first_bias(self, shape: tuple[int, ...], bound: float) -> mx.array:
        return mx.zeros(shape)

    def _hold(self, spec: Spec, regions: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_rank(type(self).__name__, self.rank, spec)
        self.spec = spec
        self.regions = None if regions is None else as_map(spec, regions)

    @classmethod
    def from_canonical(cls, spec: Spec, weight: Any, bias: Any = None, regions: Any = None) -> Self:
        """Return the layer of `spec`, copying weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None.

        They may be arrays of NumPy or MLX, and keep their dtype.

        Raises
        ------
        ShapeError
            If a shape is not the one `spec` asks for.
        LayoutError
            If they differ inside one of the regions.
        """
        given = check_shapes(spec, _array(weight), None if bias is None else _array(bias))
        layer = cls.__new__(cls)  # past the constructor, which would make the spec from its own arguments, and draw
        cls._hold(layer, spec, regions)
        for name, array in collapsed(spec, layer.regions, given, _collapse).items():
            setattr(layer, name, array)
        return layer

    def canonical(self) -> tuple[mx.array, mx.array | None]:
        """Return weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None."""
        where = None if self.regions is None else mx.array(self.regions)
        weight, bias = spread(self.spec, where, self.weight, self.get("bias"))
        return weight, bias

    def __call__(self, x: mx.array) -> mx.array:
        """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``.

        Raises
        ------
        ShapeError
            If x is not of that shape: unlike a convolution, the layer belongs to one input size.
        """
        spec, meaning = self.spec, "the input_size the layer was made for, then in_channels"
        check_sample(x, spec.x_shape(0)[1:], leading=(1,), meaning=meaning)
        y: mx.array = local(spec, x, *self.canonical())
        return y

    def _extra_repr(self) -> str:
        count = None if self.regions is None else len(self.weight)
        return described(self.spec, ("stride", "padding", "dilation", "groups", "bias"), count)


def _collapse(where: Map, array: mx.array, name: str) -> mx.array:
    """Return one part per region, by the bytes: NumPy lacks some dtypes of MLX."""
    return mx.array(collapse(where, np.array(array.view(mx.uint8)), name)).view(array.dtype)


def _array(values: Any) -> mx.array:
    return values if isinstance(values, mx.array) else from_numpy(values)


_MLX = {
    "framework": "MLX",
    "placement": REGIONS,
    "array": "mlx.core.array",
    "or_none": ", absent without one",
    "initialisers": "mlx.nn.init",
    "bias_start": "zeros at first",
    "input": "(n, *input_size, in_channels)",
    "output": "(n, *output_size, out_channels)",
    "note": "A layer in float64 runs where MLX has that type, under ``mx.stream(mx.cpu)``.",
    "example": """\
>>> import mlx.core as mx
>>> from lcl_ref.layers.mlx import $name
>>> layer = $name(3, 8, input_size=$size, kernel_size=3, stride=2)
>>> layer(mx.zeros((4, $sizes, 3))).shape
(4, $positions, 8)
>>> layer.weight.shape
($positions, $taps, 3, 8)""",
}


@documented(CONVOLUTION, **_MLX)
class LocallyConnected1d(Convolution, _Local):
    """A convolution over one spatial axis whose every position has a kernel of its own."""

    rank = 1


@documented(CONVOLUTION, **_MLX)
class LocallyConnected2d(Convolution, _Local):
    """A convolution over two spatial axes whose every position has a kernel of its own."""

    rank = 2


@documented(CONVOLUTION, **_MLX)
class LocallyConnected3d(Convolution, _Local):
    """A convolution over three spatial axes whose every position has a kernel of its own."""

    rank = 3


_BLOCKS = {
    "inputs": "input_dims",
    "outputs": "output_dims",
    "placement": "",
    "linear": "mlx.nn.Linear",
    "example": """\
>>> import mlx.core as mx
>>> from lcl_ref.layers.mlx import BlockLinear
>>> layer = BlockLinear(6, 9, groups=3)
>>> layer(mx.zeros((4, 6))).shape
(4, 9)
>>> layer.weight.shape
(2, 9)""",
}


@documented(BLOCKS, **_MLX | _BLOCKS)
class BlockLinear(_Local):
    """A linear map whose matrix is block-diagonal: `groups` small maps side by side."""

    rank = 0

    def __init__(self, input_dims: int, output_dims: int, groups: int, bias: bool = True) -> None:
        self._start(blocks(input_dims, output_dims, groups, bias))

    def _first_bias(self, shape: tuple[int, ...], bound: float) -> mx.array:
        return mx.random.uniform(-bound, bound, shape)

    def __call__(self, x: mx.array) -> mx.array:
        """Return ``y (*, co)`` of ``x (*, ci)``.

        Raises
        ------
        ShapeError
            If the last axis of x is not ``input_dims`` long.
        """
        spec = self.spec
        check_sample(x, (spec.in_channels,), leading=(), meaning="input_dims last")
        y: mx.array = local(spec, x.reshape(-1, spec.in_channels), self.weight, self.get("bias"))
        return y.reshape(*x.shape[:-1], spec.out_channels)

    def _extra_repr(self) -> str:
        spec = self.spec
        sizes = f"input_dims={spec.in_channels}, output_dims={spec.out_channels}, groups={spec.groups}"
        table = "" if spec.channel_table is None else f", channel_table={spec.channel_table}"
        return f"{sizes}, bias={'bias' in self}{table}"


_UNEQUAL = {
    "flag": "bias",
    "held": UNEQUAL_ATTRIBUTES,
    "kernels": "weights",
    "start": "from ``+-1 / sqrt(inputs)``, as `mlx.nn.Linear` starts",
    "bias_start": "each part from the range of its block",
    "taken": "`from_blocks`",
    "example": """\
>>> import mlx.core as mx
>>> from lcl_ref.layers.mlx import UnequalBlockLinear
>>> layer = UnequalBlockLinear([(2, 3), (4, 1), (1, 5)])
>>> layer(mx.zeros((4, 7))).shape
(4, 9)
>>> [weight.shape for weight in layer.weights]
[(2, 3), (4, 1), (1, 5)]""",
}


@documented(UNEQUAL, **_MLX | _BLOCKS | _UNEQUAL)
class UnequalBlockLinear(nn.Module):
    """A linear map whose matrix is block-diagonal, with blocks of unequal sizes."""

    def __init__(self, sizes: Sequence[tuple[int, int]], bias: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.blocks = Blocks(sizes)
        bounds = [math.sqrt(1 / inputs) for inputs, _ in sizes]
        self.weights = [mx.random.uniform(-bound, bound, size) for bound, size in zip(bounds, sizes, strict=True)]
        if bias:
            parts = zip(bounds, sizes, strict=True)
            self.bias = mx.concatenate([mx.random.uniform(-bound, bound, (size[1],)) for bound, size in parts])

    @classmethod
    def from_blocks(cls, weights: Sequence[Any], bias: Any = None) -> Self:
        """Return the layer of weights ``(inputs, outputs)``, one per block, and a bias ``(sum of outputs,)`` or None.

        Raises
        ------
        ShapeError
            If the bias has another shape.
        """
        layer = cls([weight.shape for weight in weights], bias is not None)
        layer.weights = [_array(weight) for weight in weights]
        if bias is not None:
            check_bias(layer.blocks, bias)
            layer.bias = _array(bias)
        return layer

    def __call__(self, x: mx.array) -> mx.array:
        """Return ``y (*, sum of outputs)`` of ``x (*, sum of inputs)``.

        Raises
        ------
        ShapeError
            If the last axis of x has another length.
        """
        check_sample(x, (self.blocks.in_channels,), leading=(), meaning="the inputs of all blocks last")
        cuts = np.cumsum([inputs for inputs, _ in self.blocks.sizes])[:-1].tolist()
        parts = zip(mx.split(x, cuts, axis=-1), self.weights, strict=True)
        y = mx.concatenate([part @ weight for part, weight in parts], axis=-1)
        return y + self.bias if "bias" in self else y

    def _extra_repr(self) -> str:
        return f"{list(self.blocks.sizes)}, bias={'bias' in self}"
