"""Locally connected layers as `torch.nn.Module`: channels first like torch's convolutions, canonical weights inside.

>>> layer = LocallyConnected2d(16, 32, input_size=(55, 55), kernel_size=7, stride=2)
>>> layer(torch.randn(8, 16, 55, 55)).shape
torch.Size([8, 32, 25, 25])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lcl_ref.core.spec import Bias, Padding, Size, Spec
from lcl_ref.errors import ShapeError, Violation
from lcl_ref.layers._arguments import blocks, check_rank, check_shapes, convolution
from lcl_ref.layers.engines.torch import local


class _Local(nn.Module):
    """What the layers share: the parameters, in canonical layout, and the call."""

    rank: ClassVar[int]

    def __init__(self, spec: Spec, device: Any = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        check_rank(type(self).__name__, self.rank, spec)
        self.spec = spec
        self._layer, self._sample = spec.to_json(), (spec.in_channels, *spec.input_size)
        self.weight = nn.Parameter(torch.empty(spec.weight_shape, device=device, dtype=dtype))
        if spec.bias_shape is None:
            self.register_parameter("bias", None)
        else:
            self.bias = nn.Parameter(torch.empty(spec.bias_shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias uniformly from ``+-1/sqrt(fan_in)``, as torch does.

        ``fan_in`` is the number of inputs that one output sums, ``prod(kernel_size) * in_channels / groups``. The
        functions of `torch.nn.init` would count the positions as channels, and start the layer far too small.
        """
        bound = 1 / math.sqrt(self.spec.fan_in)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    @classmethod
    def from_canonical(cls, spec: Spec, weight: Any, bias: Any = None) -> Self:
        """Return the layer of `spec`, copying weight ``(o*, k*, cg, co)`` and bias ``(o*, co)``, ``(co,)`` or None.

        Raises
        ------
        ShapeError
            If a shape is not the one `spec` asks for.
        """
        held = check_shapes(spec, torch.as_tensor(weight), None if bias is None else torch.as_tensor(bias))
        layer = cls.__new__(cls)  # past the constructor, which would make the spec from its own arguments
        _Local.__init__(layer, spec, "meta")  # without memory, and nothing to draw
        layer.load_state_dict({name: tensor.detach().clone() for name, tensor in held.items()}, assign=True)
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
        if tuple(x.shape[-len(sample) :]) != sample or x.ndim not in (len(sample), len(sample) + 1):
            wanted = ", ".join(map(str, sample))
            expected = f"(n, {wanted}): in_channels, then the input_size the layer was made for"
            raise ShapeError([Violation("x/shape", "x", f"shape {tuple(x.shape)}", expected)])
        batch = x if x.ndim > len(sample) else x.unsqueeze(0)
        y = local(self._layer, batch.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)
        return y if x.ndim > len(sample) else y.squeeze(0)

    def extra_repr(self) -> str:
        """Return the settings that differ from their defaults, after the channels, as torch prints its layers."""
        spec = self.spec
        plain = Spec(
            input_size=spec.input_size,
            in_channels=spec.in_channels,
            out_channels=spec.out_channels,
            kernel_size=spec.kernel_size,
            padding=spec.padding,
        )
        shown = ("stride", "dilation", "groups", "shared", "bias", "channel_table")
        told = [f"{name}={getattr(spec, name)!r}" for name in shown if getattr(spec, name) != getattr(plain, name)]
        if any(map(any, spec.padding)):
            told.insert(0, f"padding={spec.padding}")
        sizes = [f"{name}={getattr(spec, name)}" for name in ("input_size", "kernel_size") if spec.rank]
        return ", ".join([str(spec.in_channels), str(spec.out_channels), *sizes, *told])


class _LocallyConnected(_Local):
    """A convolution whose every position has a kernel of its own.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    input_size : int or sequence of int
        Spatial sizes of the input; the layer belongs to them.
    kernel_size, stride, dilation : int or sequence of int
        As of torch's convolutions.
    padding : str, int or sequence
        Zeros on both sides, pairs ``(lo, hi)`` per axis, or a name: ``"valid"``, ``"same_upper"`` (TensorFlow's SAME),
        ``"same_lower"``, ``"same_keras_local"`` (tf_keras ``LocallyConnected``), ``"causal"``.
    groups : int
        Blocks of channels that do not see each other.
    bias : bool or {"position", "channel", "none"}
        True: one number per position and channel.
    shared : bool or sequence of bool
        Axes along which all positions share one weight.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight : torch.nn.Parameter
        ``(*output_size, *kernel_size, in_channels / groups, out_channels)``, 1 along shared axes.
    bias : torch.nn.Parameter or None
        ``(*output_size, out_channels)`` or ``(out_channels,)``.

    Notes
    -----
    Input ``(n, in_channels, *input_size)``, output ``(n, out_channels, *output_size)``. Output and gradients have their
    channels last in memory (`torch.channels_last`), so layers in a row transpose nothing.

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
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        channels, geometry = (in_channels, out_channels), (input_size, kernel_size, stride, padding, dilation)
        super().__init__(convolution(self.rank, *channels, *geometry, groups, bias, shared), device, dtype)


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
    in_features, out_features : int
        Sizes of the whole input and output, both divisible by `groups`.
    groups : int
        Number of blocks.
    bias : bool
        Whether there is one.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight : torch.nn.Parameter
        ``(in_features / groups, out_features)``: column f belongs to block ``f // (out_features / groups)``.
    bias : torch.nn.Parameter or None
        ``(out_features,)``.

    Notes
    -----
    Input ``(*, in_features)``, output ``(*, out_features)``, as of `torch.nn.Linear`.

    Raises
    ------
    SpecError
        If `groups` does not divide both sizes.
    """

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
        super().__init__(blocks(in_features, out_features, groups, bias), device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``y (*, co)`` of ``x (*, ci)``.

        Raises
        ------
        ShapeError
            If the last axis of x is not ``in_features`` long.
        """
        if x.ndim == 0 or x.shape[-1] != self._sample[0]:
            expected = f"(*, {self._sample[0]}): in_features last"
            raise ShapeError([Violation("x/shape", "x", f"shape {tuple(x.shape)}", expected)])
        y = local(self._layer, x.reshape(-1, x.shape[-1]), self.weight, self.bias)
        return y.reshape(*x.shape[:-1], y.shape[-1])
