"""A list of `torch.nn.Linear`, one per position and group: the layer as people first write it, without its traps.

Outputs are stacked, not written into a buffer: in-place writes make the backward pass quadratic in the number of
positions, and a buffer made by `torch.zeros` rounds float64 to float32. Windows are unbound, not sliced one by one, so
that their gradients meet in one operation. Shared weights are one `Parameter` in several modules.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import ACCUMULATION, WITH_COMPLEX, TorchLayer, declared, windows
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class Adapter:
    """`torch.nn.ModuleList` of `torch.nn.Linear`."""

    declaration = declared(
        name="torch.loop",
        summary="A ModuleList of Linear, one per position and group, and torch.stack of what they return.",
        layout="torch/linear_list",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=WITH_COMPLEX,
            accumulation=ACCUMULATION,
            max_positions=2**12,
            why={"max_positions": "a loop in Python over the positions, each a module with tensors of its own"},
            declines={"transform/*": "its weights are Parameters of modules, not arguments of a function"},
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Give every Linear its parameters; those of a shared axis get the same ones."""
        layer = TorchLayer(spec, lambda *operands: _apply(linears, *operands), weight, bias, _weights, _biases)
        linears = _linears(spec, layer.held)
        return layer


def _linears(spec: Spec, held: Sequence[torch.nn.Parameter]) -> torch.nn.ModuleList:
    """Return a Linear for every (o*, g), given the weights of all and the biases of all."""
    import torch

    owners = _owners(spec, spec.weight_size)
    weights, biases = held[: max(owners) + 1], held[max(owners) + 1 :]
    bias_size = spec.output_size if spec.bias == "position" else (1,) * spec.rank
    return torch.nn.ModuleList(
        _linear(weights[block], biases[offset] if biases else None)
        for block, offset in zip(owners, _owners(spec, bias_size), strict=True)
    )


def _weights(spec: Spec, weight: torch.Tensor) -> Sequence[torch.Tensor]:
    """``(o*, k*, cg, co)`` to a list over (o*, g) of ``(co/g, k*cg)``."""
    split = weight.reshape(math.prod(spec.weight_size), spec.fan_in, groups(spec), -1)
    return split.permute(0, 2, 3, 1).flatten(0, 1).unbind()


def _biases(spec: Spec, bias: torch.Tensor) -> Sequence[torch.Tensor]:
    """``(o*, co)`` to a list over (o*, g), or ``(co,)`` to a list over g, of ``(co/g,)``."""
    return bias.reshape(-1, spec.out_channels // groups(spec)).unbind()


def _owners(spec: Spec, size: Sequence[int]) -> list[int]:
    """For every (o*, g), return its number in a list over positions of `size` and groups; 1 along tied axes."""
    import torch

    numbers = torch.arange(math.prod(size) * groups(spec)).reshape(*size, groups(spec))
    return numbers.expand(*spec.output_size, groups(spec)).flatten().tolist()


def _linear(weight: torch.nn.Parameter, bias: torch.nn.Parameter | None) -> torch.nn.Linear:
    """Return a Linear around existing parameters; made on the meta device, it draws no random numbers."""
    import torch

    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = weight
    if bias is not None:
        linear.bias = bias
    return linear


def _apply(linears: torch.nn.ModuleList, spec: Spec, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    import torch

    taps = range(spec.rank + 3, 2 * spec.rank + 3)
    seen = windows(spec, x).permute(*range(1, spec.rank + 2), 0, *taps, spec.rank + 2)  # (o*, g, n, k*, cg)
    inputs = seen.reshape(len(linears), len(x), spec.fan_in).unbind()
    y = torch.stack([linear(one) for linear, one in zip(linears, inputs, strict=True)], dim=1)  # (n, o*g, co/g)
    return y.reshape(spec.y_shape(len(x)))
