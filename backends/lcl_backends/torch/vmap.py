"""One `linear` mapped over blocks by `torch.vmap`, which batches it into one product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import BIAS_APART, DTYPES, TorchLayer, declared, gathered
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`torch.vmap` of `torch.nn.functional.linear`."""

    declaration = declared(
        name="torch.vmap",
        summary="torch.vmap of linear over the blocks of a block-diagonal map.",
        layout="block/h_out_in",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            dtypes=DTYPES,
            accumulation=BIAS_APART,
            why={"ranks": "blocks of channels are what is mapped; torch.unfold does the same over positions"},
            declines={"transform/exported": "torch.export cannot store what it traces through torch.vmap"},
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Stack the weights of the blocks as ``(g, co/g, cg)``."""
        return TorchLayer(spec, _apply, weight, bias, _matrices, _offsets)


def _matrices(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(cg, co) -> (g, co/g, cg)``."""
    return weight.T.reshape(groups(spec), -1, spec.group_channels)


def _offsets(spec: Spec, bias: torch.Tensor) -> torch.Tensor:
    """``(co,) -> (g, co/g)``."""
    return bias.reshape(groups(spec), -1)


def _apply(spec: Spec, x: torch.Tensor, matrices: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, ci) -> (n, co)``."""
    import torch
    from torch.nn.functional import linear

    blocks = gathered(spec, x).reshape(len(x), groups(spec), spec.group_channels)
    mapped = torch.vmap(linear, in_dims=(1, 0, None if offsets is None else 0), out_dims=1)
    return mapped(blocks, matrices, offsets).reshape(spec.y_shape(len(x)))
