"""Locally connected layers as `mlx.nn.Module`: channels last like MLX's convolutions, canonical weights inside.

>>> layer = LocallyConnected2d(16, 32, input_size=(55, 55), kernel_size=7, stride=2)
>>> layer(mx.random.normal((8, 55, 55, 16))).shape
(8, 25, 25, 32)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import mlx.core as mx
from mlx import nn

from lcl_backends.support.mlx import from_numpy
from lcl_ref.core.spec import Bias, Padding, Size, Spec
from lcl_ref.errors import ShapeError, Violation
from lcl_ref.layers._arguments import blocks, check_input, check_rank, check_shapes, convolution
from lcl_ref.layers.engines.mlx import local


class _Local(nn.Module):
    """What the layers share: the parameters, in canonical layout, and the call."""

    rank: ClassVar[int]

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        check_rank(type(self).__name__, self.rank, spec)
        self.spec = spec
        scale = math.sqrt(1 / spec.fan_in)
        self.weight = mx.random.uniform(-scale, scale, spec.weight_shape)
        if spec.bias_shape is not None:
            self.bias = self._first_bias(scale)

    def _first_bias(self, scale: float) -> mx.array:
        return mx.zeros(self.spec.bias_shape)

    @classmethod
    def from_canonical(cls, spec: Spec, weight: Any, bias: Any = None) -> Self:
        """Return the layer of `spec`, copying weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None.

        They may be arrays of NumPy or MLX, and keep their dtype.

        Raises
        ------
        ShapeError
            If a shape is not the one `spec` asks for.
        """
        held = check_shapes(spec, _array(weight), None if bias is None else _array(bias))
        layer = cls.__new__(cls)
        _Local.__init__(layer, spec)  # the constructor would make the spec from its own arguments
        layer.update(held)
        return layer

    def canonical(self) -> tuple[mx.array, mx.array | None]:
        """Return weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None."""
        return self.weight, self.get("bias")

    def __call__(self, x: mx.array) -> mx.array:
        """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``.

        Raises
        ------
        ShapeError
            If x is not of that shape: unlike a convolution, the layer belongs to one input size.
        """
        spec = self.spec
        check_input(x, spec.x_shape(0)[1:], "the input_size the layer was made for, then in_channels")
        return local(spec, x, self.weight, self.get("bias"))

    def _extra_repr(self) -> str:
        spec = self.spec
        rare = {"shared": any(spec.shared), "channel_table": spec.channel_table is not None}
        told = [f"{name}={getattr(spec, name)}" for name in ("input_size", "kernel_size", "stride", "padding")]
        told += [f"dilation={spec.dilation}", f"groups={spec.groups}", f"bias={spec.bias!r}"]
        told += [f"{name}={getattr(spec, name)}" for name, given in rare.items() if given]
        return ", ".join([str(spec.in_channels), str(spec.out_channels), *told])


def _array(values: Any) -> mx.array:
    return values if isinstance(values, mx.array) else from_numpy(values)


class _LocallyConnected(_Local):
    """A convolution whose every position has a kernel of its own.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    input_size : int or sequence of int
        Spatial sizes of the input; the layer belongs to them.
    kernel_size, stride, dilation : int or sequence of int
        As of MLX's convolutions.
    padding : str, int or sequence
        Zeros on both sides, pairs ``(lo, hi)`` per axis, or a name: ``"valid"``, ``"same_upper"`` (TensorFlow's SAME),
        ``"same_lower"``, ``"same_keras_local"`` (tf_keras ``LocallyConnected``), ``"causal"``.
    groups : int
        Blocks of channels that do not see each other.
    bias : bool or {"position", "channel", "none"}
        True: one number per position and channel.
    shared : bool or sequence of bool
        Axes along which all positions share one weight.

    Attributes
    ----------
    weight : mlx.core.array
        ``(*output_size, *kernel_size, in_channels / groups, out_channels)``, 1 along shared axes. It starts uniform
        within ``+-sqrt(1 / fan_in)``, like MLX's convolutions, ``fan_in = prod(kernel_size) * in_channels / groups``;
        initialisers of `mlx.nn.init` would take positions for taps.
    bias : mlx.core.array
        ``(*output_size, out_channels)`` or ``(out_channels,)``, zeros at first; absent without one.

    Notes
    -----
    Input ``(n, *input_size, in_channels)``, output ``(n, *output_size, out_channels)``. A layer in float64 runs where
    MLX has that type, under ``mx.stream(mx.cpu)``.

    Raises
    ------
    SpecError
        If the settings describe no layer; the error lists all that is wrong.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Size,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool | Bias = True,
        *,
        shared: bool | Sequence[bool] = False,
    ) -> None:
        channels, geometry = (in_channels, out_channels), (input_size, kernel_size, stride, padding, dilation)
        super().__init__(convolution(self.rank, *channels, *geometry, groups, bias, shared))


class LocallyConnected1d(_LocallyConnected):
    """Over one spatial axis; arguments as of `_LocallyConnected`."""

    rank = 1


class LocallyConnected2d(_LocallyConnected):
    """Over two spatial axes; arguments as of `_LocallyConnected`."""

    rank = 2


class LocallyConnected3d(_LocallyConnected):
    """Over three spatial axes; arguments as of `_LocallyConnected`."""

    rank = 3


class BlockLinear(_Local):
    """A linear map whose matrix is block-diagonal: `groups` small maps side by side.

    Parameters
    ----------
    input_dims, output_dims : int
        Sizes of the whole input and output, both divisible by `groups`.
    groups : int
        Number of blocks.
    bias : bool
        Whether there is one.

    Attributes
    ----------
    weight : mlx.core.array
        ``(input_dims / groups, output_dims)``: column f belongs to block ``f // (output_dims / groups)``.
    bias : mlx.core.array
        ``(output_dims,)``, absent without one. Like `mlx.nn.Linear`, both start uniform within ``+-sqrt(1 / fan_in)``,
        ``fan_in = input_dims / groups``.

    Notes
    -----
    Input ``(*, input_dims)``, output ``(*, output_dims)``, as of `mlx.nn.Linear`.

    Raises
    ------
    SpecError
        If `groups` does not divide both sizes.
    """

    rank = 0

    def __init__(self, input_dims: int, output_dims: int, groups: int, bias: bool = True) -> None:
        super().__init__(blocks(input_dims, output_dims, groups, bias))

    def _first_bias(self, scale: float) -> mx.array:
        return mx.random.uniform(-scale, scale, self.spec.bias_shape)

    def __call__(self, x: mx.array) -> mx.array:
        """Return ``y (*, co)`` of ``x (*, ci)``.

        Raises
        ------
        ShapeError
            If the last axis of x is not ``input_dims`` long.
        """
        spec = self.spec
        if x.ndim == 0 or x.shape[-1] != spec.in_channels:
            expected = f"(*, {spec.in_channels}): input_dims last"
            raise ShapeError([Violation("x/shape", "x", f"shape {tuple(x.shape)}", expected)])
        y = local(spec, x.reshape(-1, spec.in_channels), self.weight, self.get("bias"))
        return y.reshape(*x.shape[:-1], spec.out_channels)

    def _extra_repr(self) -> str:
        spec = self.spec
        sizes = f"input_dims={spec.in_channels}, output_dims={spec.out_channels}, groups={spec.groups}"
        table = "" if spec.channel_table is None else f", channel_table={spec.channel_table}"
        return f"{sizes}, bias={'bias' in self}{table}"
