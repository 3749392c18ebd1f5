"""The batch moved into the groups of one convolution of one sample, with the filters repeated for every sample.

Filters of each sample stand together, ``(samples, co)``: in the order ``(co, samples)`` every shape fits and every
sample meets other filters. With weights of its own for each sample instead of repeated ones, the same trick computes a
different layer per sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import TorchLayer, declared, gathered, padded
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`torch.nn.functional.conv2d` of one sample with ``groups = samples * groups``."""

    declaration = declared(
        name="torch.batch_in_groups",
        summary="conv2d of one sample that holds the batch in its channels, groups = samples * groups.",
        layout="torch/conv",
        capabilities=Capabilities(
            ranks=(2,),
            sharing=("all",),
            channel_table=True,
            bias=("none", "channel"),
            empty_batch=False,
            why={
                "ranks": "it is written for images",
                "sharing": "a convolution has one weight for all positions",
                "bias": "a convolution has one bias for all positions",
                "empty_batch": "a convolution has at least one group",
                "dtypes": "gradients of the repeated filters are added up in the half type",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Arrange the weight as ``(co, cg, k*)``."""
        return TorchLayer(spec, _apply, weight, bias, lambda _, weight: weight[0, 0].permute(3, 2, 0, 1))


def _apply(spec: Spec, x: torch.Tensor, filters: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    sites = padded(spec, gathered(spec, x)).permute(0, 3, 1, 2)
    repeated = None if offsets is None else offsets.repeat(len(x))
    y = per_sample(spec, filters.repeat(len(x), 1, 1, 1), repeated, sites)
    return y.permute(0, 2, 3, 1)


def per_sample(spec: Spec, filters: torch.Tensor, offsets: torch.Tensor | None, sites: torch.Tensor) -> torch.Tensor:
    """``(n*co, cg, k*), (n*co,), (n, channels, sites*) -> (n, co, o*)``: each sample has its own co filters."""
    from torch.nn.functional import conv2d

    together = sites.reshape(1, -1, *sites.shape[2:])
    y = conv2d(together, filters, offsets, spec.stride, dilation=spec.dilation, groups=len(sites) * groups(spec))
    return y.reshape(len(sites), spec.out_channels, *spec.output_size)
