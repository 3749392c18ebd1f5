"""Shared by the torch adapters: arrays across the border, windows of the input, gradients in canonical layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups

if TYPE_CHECKING:
    import torch

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""Every route runs in these on the CPU."""

WITH_COMPLEX = (*DTYPES, "complex64")

ACCUMULATION = {f"{half}/{op}": half for half in ("float16", "bfloat16") for op in ("vjp", "transpose")}
"""What the gradients of half types are summed in (SPEC 8.3).

A product keeps its sums in float32 and rounds once, with the bias where the operation takes one. What autograd adds up
after it, over overlapping windows, shared weights or a tied bias, is stored in the half type.
"""

BIAS_APART = ACCUMULATION | {f"{half}/forward": half for half in ("float16", "bfloat16")}
"""The same, where the bias is added after the product has been rounded."""


def to_tensor(array: Any) -> torch.Tensor:
    """Return a tensor of the same dtype; it shares the array's memory where that is writable and contiguous."""
    import torch

    owned = np.require(array, requirements=("C", "W"))
    if owned.dtype == ml_dtypes.bfloat16:  # NumPy has no bfloat16 of its own, so its bits travel as int16
        return torch.from_numpy(owned.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(owned)


class Parameters:
    """Parameters of a route, made once from a canonical array.

    Autograd records the conversion, so gradients of the parameters travel back through it to the canonical shape.

    Parameters
    ----------
    array : array or None
        A canonical weight or bias; None for a layer without bias, which has no parameters here.
    convert : callable
        From its tensor to the tensors the route holds.
    """

    def __init__(self, array: Any, convert: Callable[[torch.Tensor], Sequence[torch.Tensor]]) -> None:
        import torch

        self._canonical = None if array is None else to_tensor(array).clone().requires_grad_()
        self._converted = () if self._canonical is None else convert(self._canonical)
        self.tensors = [torch.nn.Parameter(part.detach().contiguous()) for part in self._converted]

    @property
    def tensor(self) -> torch.nn.Parameter | None:
        """The one tensor of a route that holds its parameters in one, or None without any."""
        return self.tensors[0] if self.tensors else None

    def cotangent(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor | None:
        """Return the cotangent of the canonical array, given those of `tensors`; None without any."""
        import torch

        if self._canonical is None:
            return None
        return torch.autograd.grad(self._converted, self._canonical, gradients, retain_graph=True)[0]


@dataclass(frozen=True)
class TorchLayer:
    """A route as a prepared layer; `apply` takes ``x (n, i*, ci)`` to ``y (n, o*, co)`` with `weight` and `bias`."""

    spec: Spec
    apply: Callable[[torch.Tensor], torch.Tensor]
    weight: Parameters
    bias: Parameters

    def forward(self, x: Any) -> torch.Tensor:
        """Return ``y (n, o*, co)``."""
        import torch

        with torch.no_grad():
            return self.apply(to_tensor(x))

    def vjp(self, x: Any, dy: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return ``(dx, dw, db)``, by autograd alone; db is None without bias."""
        import torch

        inputs, count = to_tensor(x).requires_grad_(), len(self.weight.tensors)
        leaves = (inputs, *self.weight.tensors, *self.bias.tensors)
        dx, *rest = torch.autograd.grad(self.apply(inputs), leaves, to_tensor(dy))
        return dx, self.weight.cotangent(rest[:count]), self.bias.cotangent(rest[count:])

    def transpose(self, y: Any) -> torch.Tensor:
        """Return ``xt (n, i*, ci)``: the layer is affine in x, so its gradient anywhere is its adjoint."""
        import torch

        cotangent = to_tensor(y)
        inputs = torch.zeros(self.spec.x_shape(len(cotangent)), dtype=cotangent.dtype, requires_grad=True)
        return torch.autograd.grad(self.apply(inputs), inputs, cotangent)[0]


def gathered(spec: Spec, x: torch.Tensor) -> torch.Tensor:
    """``(n, i*, ci) -> (n, i*, g*cg)``: channels in the order of the connection table, where there is one."""
    import torch

    if spec.channel_table is None:
        return x
    return x.index_select(-1, torch.from_numpy(spec.channels.reshape(-1)))


def padded(spec: Spec, x: torch.Tensor) -> torch.Tensor:
    """Put zeros around the spatial axes of ``(n, i*, ci)``."""
    from torch.nn.functional import pad

    if not any(map(any, spec.padding)):
        return x
    last_first = [side for pair in reversed(spec.padding) for side in pair]
    return pad(x, [0, 0, *last_first])


def windows(spec: Spec, x: torch.Tensor) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, g, cg, k*)``: channels before taps, as `Tensor.unfold` leaves them."""
    view = padded(spec, gathered(spec, x))
    for axis, step in enumerate(spec.stride):
        extent = window_extent(spec.kernel_size[axis], spec.dilation[axis])
        view = view.unfold(axis + 1, extent, step)[..., :: spec.dilation[axis]]
    return view.unflatten(spec.rank + 1, (groups(spec), spec.group_channels))


def bias_per_position(spec: Spec, bias: torch.Tensor) -> torch.Tensor:
    """``(o*, co)`` or ``(co,)`` ``-> (o*, co)``."""
    return bias.expand(*spec.output_size, spec.out_channels)


def filters_per_position(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(o*, k*, cg, co) -> (p, co, cg, k)``: positions and taps flat, shared axes repeated, ordered as `windows`."""
    untied = weight.expand(*spec.output_size, *weight.shape[spec.rank :])
    return untied.reshape(-1, spec.fan_in // spec.group_channels, *weight.shape[-2:]).permute(0, 3, 2, 1)
