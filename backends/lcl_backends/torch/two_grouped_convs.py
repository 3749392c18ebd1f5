"""Two grouped convolutions in a row with the same groups, which make one: ``W = W2 @ W1`` in every block.

The narrower side of a block is the width between them, and the convolution on that side is the identity, so that any
weight can be held. With fewer channels between them the rank of a block would be less, and with other groups in the
second one, blocks would mix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import BIAS_APART, DTYPES, TorchLayer, declared, gathered
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """Two `torch.nn.functional.conv1d` of kernel size 1."""

    declaration = declared(
        name="torch.two_grouped_convs",
        summary="Two conv1d of kernel size 1 with the same groups, one of them the identity: one map per block.",
        layout="torch/grouped_conv",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            dtypes=DTYPES,
            accumulation=BIAS_APART,
            nonfinite=False,
            why={
                "ranks": "blocks of channels are what two convolutions in a row are written for",
                "nonfinite": "0 * inf is NaN in the identity, within the block that sees the inf",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Lay the weight out as ``(co, cg, 1)``."""
        return TorchLayer(spec, _apply, weight, bias, lambda _, weight: weight.T[..., None])


def _apply(spec: Spec, x: torch.Tensor, filters: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, ci) -> (n, co)``."""
    import torch
    from torch.nn.functional import conv1d

    count = groups(spec)
    width = min(spec.group_channels, spec.out_channels // count)
    identity = torch.eye(width, dtype=x.dtype).repeat(count, 1)[..., None]
    first, second = (identity, filters) if width == spec.group_channels else (filters, identity)
    hidden = conv1d(gathered(spec, x)[..., None], first, groups=count)
    return conv1d(hidden, second, offsets, groups=count).squeeze(-1)
