"""torch's own convolutions, for layers whose position axes are all shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import ACCUMULATION, TorchLayer, declared, gathered, padded
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`torch.nn.functional.conv1d`, `conv2d` and `conv3d`."""

    declaration = declared(
        name="torch.conv",
        summary="conv1d, conv2d or conv3d of the padded input; a bias per position is added to its result.",
        layout="torch/conv",
        capabilities=Capabilities(
            ranks=(1, 2, 3),
            sharing=("all",),
            channel_table=True,
            dtypes=("float16", "float32", "float64"),
            # A bias per position is added after the convolution has rounded its result.
            accumulation=ACCUMULATION | {"float16/forward": "float16"},
            why={
                "dtypes": "bfloat16 kernels multiply sites in pairs, so inf and NaN reach outputs that do not see them",
                "ranks": "torch has convolutions over one, two and three spatial axes",
                "sharing": "a convolution has one weight for all positions",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Arrange the weight as ``(co, cg, k*)``."""
        return TorchLayer(spec, _apply, weight, bias, _filters, lambda _, bias: bias.movedim(-1, 0))


def _filters(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(1*, k*, cg, co) -> (co, cg, k*)``."""
    return weight.reshape(weight.shape[spec.rank :]).movedim((-1, -2), (0, 1))


def _apply(spec: Spec, x: torch.Tensor, filters: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    import torch
    from torch.nn import functional

    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[spec.rank - 1]
    # Channels first in memory too: of a channels-last input with one channel, torch 2.13 (oneDNN 3.12, AVX-512) returns
    # wrong rows where the output is one position wide and the stride along that axis is larger than 1.
    sites = padded(spec, gathered(spec, x)).movedim(-1, 1).clone(memory_format=torch.contiguous_format)
    own = offsets if spec.bias == "channel" else None
    y = convolve(sites, filters, own, spec.stride, dilation=spec.dilation, groups=groups(spec))
    if own is None and offsets is not None:
        y = y + offsets
    return y.movedim(1, -1)
