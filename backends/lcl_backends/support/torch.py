"""Adapters on torch: prepared layers by autograd, tensors, windows of the input, weights per position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from lcl_backends.support.transforms.torch import TorchTransforms
from lcl_ref.core.padding import window_extent
from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.index_tables import groups
from lcl_ref.suite.adapter import Declaration
from lcl_ref.suite.native_views import Reshaping

if TYPE_CHECKING:
    import torch

declared = partial(Declaration, framework="torch", modules=("torch",))
"""Makes a `Declaration` of a route on torch."""

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


Convert = Callable[[Spec, "torch.Tensor"], "torch.Tensor | Sequence[torch.Tensor]"]


def _as_it_is(_spec: Spec, tensor: torch.Tensor) -> torch.Tensor:
    return tensor


class TorchLayer(TorchTransforms):
    """A layer of tensors, differentiated by autograd.

    Autograd records the conversion of the canonical weight and bias too, so their gradients travel back through it.

    Parameters
    ----------
    spec : Spec
        The layer.
    apply : callable
        ``(spec, x, *filters[, *offsets]) -> y``, with what `filters` and `offsets` return.
    weight, bias : numpy.ndarray
        Canonical.
    filters, offsets : callable, optional
        ``(spec, canonical tensor) ->`` the tensor the route holds, or a sequence of them.
    """

    def __init__(
        self,
        spec: Spec,
        apply: Callable[..., torch.Tensor],
        weight: Any,
        bias: Any,
        filters: Convert = _as_it_is,
        offsets: Convert = _as_it_is,
    ) -> None:
        self._converters = filters, offsets
        super().__init__(spec, apply, weight, bias)

    def hold(self, *arrays: Any) -> list[Any]:
        """Return parameters made from weight and bias."""
        canonical = [tensor.requires_grad_() for tensor in super().hold(*arrays)]
        converted = zip(canonical, self._converters, strict=False)
        self._parameters = [_Parameters(tensor, convert(self.spec, tensor)) for tensor, convert in converted]
        return [tensor for parameters in self._parameters for tensor in parameters.tensors]

    def reshaping(self) -> Reshaping:
        """Return what makes views of tensors."""
        return lambda tensor: tensor.movedim(0, -1), lambda tensor, shape: tensor.expand(shape)

    def to_native(self, array: Any) -> torch.Tensor:
        """Return a tensor, in the memory of the array where that is writable and contiguous."""
        return to_tensor(array)

    def value(self, operands: Sequence[torch.Tensor]) -> torch.Tensor:
        """Record nothing for autograd."""
        import torch

        with torch.no_grad():
            y: torch.Tensor = self.apply(*operands)
        return y

    def gradients(
        self, operands: Sequence[torch.Tensor], cotangent: torch.Tensor, count: int
    ) -> Sequence[torch.Tensor]:
        """Ask autograd; the operands after x require gradients anyway."""
        import torch

        inputs, *held = operands
        inputs = inputs.detach().requires_grad_()
        return torch.autograd.grad(self.apply(inputs, *held), [inputs, *held][:count], cotangent)

    def descended(self, gradients: Sequence[torch.Tensor], rate: float) -> list[Any]:
        """Change the parameters in place, as the optimisers of torch do."""
        import torch

        with torch.no_grad():
            for part, gradient in zip(self.held, gradients, strict=True):
                part.sub_(gradient, alpha=rate)
        return list(self.held)

    def canonical(self, gradients: Sequence[torch.Tensor]) -> tuple[Any, Any]:
        """Send the gradients back through the conversion."""
        waiting = iter(gradients)
        own = [part.gradient(list(islice(waiting, len(part.tensors)))) for part in self._parameters]
        weight, *bias = map(self.to_numpy, own)
        return weight.reshape(self.spec.weight_shape), bias[0] if bias else None


class _Parameters:
    """What a route holds of a canonical tensor: parameters, and the way back for their gradients."""

    def __init__(self, canonical: torch.Tensor, converted: torch.Tensor | Sequence[torch.Tensor]) -> None:
        import torch

        self._canonical = canonical
        self._converted = [converted] if isinstance(converted, torch.Tensor) else list(converted)
        self.tensors = [torch.nn.Parameter(part.detach().contiguous()) for part in self._converted]

    def gradient(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the gradient of the canonical tensor, given those of `tensors`: the same, if it was not converted."""
        import torch

        if self._converted[0] is self._canonical:
            return gradients[0]
        return torch.autograd.grad(self._converted, self._canonical, gradients, retain_graph=True)[0]


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
    split: torch.Tensor = view.unflatten(spec.rank + 1, (groups(spec), spec.group_channels))
    return split


def bias_per_position(spec: Spec, bias: torch.Tensor) -> torch.Tensor:
    """``(o*, co)`` or ``(co,)`` ``-> (o*, co)``."""
    return bias.expand(*spec.output_size, spec.out_channels)


def bias_per_output(spec: Spec, bias: torch.Tensor) -> torch.Tensor:
    """``(o*, co)`` or ``(co,)`` ``-> (o*co,)``."""
    return bias_per_position(spec, bias).flatten()


def filters_per_position(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(o*, k*, cg, co) -> (p, co, cg, k)``: positions and taps flat, shared axes repeated, ordered as `windows`."""
    untied = weight.expand(*spec.output_size, *weight.shape[spec.rank :])
    return untied.reshape(-1, spec.fan_in // spec.group_channels, *weight.shape[-2:]).permute(0, 3, 2, 1)
