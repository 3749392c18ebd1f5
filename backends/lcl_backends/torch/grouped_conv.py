"""Windows of the input as the channels of one convolution of kernel size 1, ``groups = positions * groups``.

Windows are channels first, as `unfold` leaves them; the weight is converted to that order. Shared weights are repeated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import (
    ACCUMULATION,
    WITH_COMPLEX,
    TorchLayer,
    bias_per_output,
    declared,
    filters_per_position,
    windows,
)
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`torch.nn.functional.conv1d` with ``groups = positions * groups``."""

    declaration = declared(
        name="torch.grouped_conv",
        summary="Windows side by side as channels of a conv1d of kernel size 1, groups = positions * groups.",
        layout="torch/grouped_conv",
        capabilities=Capabilities(channel_table=True, dtypes=WITH_COMPLEX, accumulation=ACCUMULATION),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Arrange the weight as ``(o*co, cg*k, 1)``."""
        return TorchLayer(spec, _apply, weight, bias, _filters, bias_per_output)


def _filters(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(o*, k*, cg, co) -> (o*co, cg*k, 1)``."""
    return filters_per_position(spec, weight).reshape(-1, spec.fan_in, 1)


def _apply(spec: Spec, x: torch.Tensor, filters: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    from torch.nn.functional import conv1d

    blocks = math.prod(spec.output_size) * groups(spec)
    channels = windows(spec, x).reshape(len(x), blocks * spec.fan_in, 1)  # three axes: conv1d reads two as one sample
    return conv1d(channels, filters, offsets, groups=blocks).reshape(spec.y_shape(len(x)))
