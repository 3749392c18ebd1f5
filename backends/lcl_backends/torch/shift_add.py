"""Tap by tap: the input, shifted and strided, times the weights of that tap, added up. Windows are never built."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import TorchLayer, bias_per_position, declared, gathered, padded
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """A sum over taps of `torch.einsum`."""

    declaration = declared(
        name="torch.shift_add",
        summary="For each tap, a strided slice of the padded input times the weights of that tap; the sum of all.",
        layout="canonical",
        capabilities=Capabilities(
            ranks=(1, 2, 3),
            channel_table=True,
            why={
                "ranks": "without spatial axes there is one tap and nothing to shift",
                "dtypes": "sums are stored between taps, which rounds half types at every tap",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Put taps first and split the output channels into groups."""
        return TorchLayer(spec, _apply, weight, bias, _per_tap, bias_per_position)


def _per_tap(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(o*, k*, cg, co) -> (K, o*, cg, g, co/g)``."""
    split = weight.reshape(*spec.weight_size, math.prod(spec.kernel_size), spec.group_channels, groups(spec), -1)
    return split.movedim(spec.rank, 0)


def _apply(spec: Spec, x: torch.Tensor, kernels: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    import torch

    sites = padded(spec, gathered(spec, x)).unflatten(-1, (groups(spec), spec.group_channels))
    taps = product(*map(range, spec.kernel_size))
    parts = [
        torch.einsum("n...gc,...cgf->n...gf", sites[:, *_shifted(spec, tap)], kernel)
        for tap, kernel in zip(taps, kernels.unbind(), strict=True)
    ]
    y = sum(parts[1:], parts[0]).flatten(-2)
    return y if offsets is None else y + offsets


def _shifted(spec: Spec, tap: tuple[int, ...]) -> list[slice]:
    """Return the sites that `tap` reads, one for every position."""
    starts = [k * dilation for k, dilation in zip(tap, spec.dilation, strict=True)]
    geometry = zip(starts, spec.output_size, spec.stride, strict=True)
    return [slice(start, start + (count - 1) * stride + 1, stride) for start, count, stride in geometry]
