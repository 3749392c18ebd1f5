"""Windows of the input, one matrix each, times their weights in one batched product.

Positions that share a weight stand in the batch of one product, so no weight is ever repeated. Windows are copied
with channels last, in the order of the canonical weight, which keeps the copied runs long; `torch.nn.functional.unfold`
takes two spatial axes only, and puts channels first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import ACCUMULATION, WITH_COMPLEX, TorchLayer, bias_per_position, declared, windows
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`Tensor.unfold` and `torch.baddbmm`."""

    declaration = declared(
        name="torch.unfold",
        summary="Tensor.unfold along each axis, then one batched matrix product with the bias as its accumulator.",
        layout="torch/bmm",
        capabilities=Capabilities(channel_table=True, dtypes=WITH_COMPLEX, accumulation=ACCUMULATION),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Arrange the weight as one matrix per unshared position and group."""
        return TorchLayer(spec, _apply, weight, bias, _matrices, _offsets)


def _matrices(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(o*, k*, cg, co) -> (own*g, k*cg, co/g)``; own are the positions along axes that are not shared."""
    width = spec.out_channels // groups(spec)
    split = weight.reshape(math.prod(spec.weight_size), spec.fan_in, groups(spec), width)
    return split.transpose(1, 2).reshape(-1, spec.fan_in, width)


def _offsets(spec: Spec, bias: torch.Tensor) -> torch.Tensor:
    """``(o*, co)`` or ``(co,)`` ``-> (own*g, shared*, 1, co/g)``."""
    split: torch.Tensor = bias_per_position(spec, bias).unflatten(-1, (groups(spec), -1))
    own, shared = _axes(spec)
    ordered = split.permute(*own, spec.rank, *shared, spec.rank + 1)
    return ordered.reshape(math.prod(spec.weight_size) * groups(spec), -1, 1, split.shape[-1])


def _axes(spec: Spec) -> tuple[list[int], list[int]]:
    """Return the position axes with weights of their own, and those that share them."""
    own = [axis for axis, is_shared in enumerate(spec.shared) if not is_shared]
    return own, [axis for axis, is_shared in enumerate(spec.shared) if is_shared]


def _apply(spec: Spec, x: torch.Tensor, matrices: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    import torch

    own, shared = _axes(spec)
    # Axes of the windows (n, o*, g, cg, k*), put in the order (own*, g, shared*, n), then (k*, cg).
    rows = [*(axis + 1 for axis in own), spec.rank + 1, *(axis + 1 for axis in shared), 0]
    columns = [*range(spec.rank + 3, 2 * spec.rank + 3), spec.rank + 2]
    ordered = windows(spec, x).permute(*rows, *columns)
    lengths = ordered.shape[: spec.rank + 2]
    products, _, width = matrices.shape
    left = ordered.reshape(products, math.prod(lengths) // products, spec.fan_in)
    if offsets is None:
        y = torch.bmm(left, matrices)
    else:
        added = offsets.expand(-1, -1, len(x), -1).reshape(products, left.shape[1], width)
        y = torch.baddbmm(added, left, matrices)
    back = [rows.index(axis) for axis in range(spec.rank + 2)]
    return y.reshape(*lengths, width).permute(*back, spec.rank + 2).reshape(spec.y_shape(len(x)))
