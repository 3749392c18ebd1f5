"""`torch.nn.functional.grouped_mm`, the product of mixtures of experts: rows of one matrix, each block with its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import BIAS_APART, TorchLayer, declared, gathered
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch

MULTIPLE = 8
"""Rows of both matrices must be whole numbers of 16 bytes: 8 elements of a half type."""


class Adapter:
    """`torch.nn.functional.grouped_mm` behind the adapter protocol."""

    declaration = declared(
        name="torch.grouped_mm",
        summary="torch.nn.functional.grouped_mm: samples of each block below one another, channels padded to 16 bytes.",
        layout="block/h_in_out",
        capabilities=Capabilities(
            ranks=(0,),
            channel_table=True,
            dtypes=("float16", "bfloat16", "float32"),
            accumulation=BIAS_APART,
            why={
                "ranks": "it multiplies blocks of rows, which are blocks of channels here",
                "dtypes": "grouped_mm takes float32, bfloat16 and float16",
            },
            declines={
                "transform/jvp": "torch has no forward rule for grouped_mm",
                "transform/compiled": "where shapes are traced, grouped_mm takes bfloat16 alone",
                "transform/exported": "where shapes are traced, grouped_mm takes bfloat16 alone",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Stack the weights of the blocks as ``(g, cg, co/g)``, with zeros to whole multiples of 16 bytes."""
        return TorchLayer(spec, _apply, weight, bias, _matrices)


def _matrices(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(cg, co) -> (g, cg', co/g')``."""
    return _padded(weight.unflatten(1, (groups(spec), -1)).movedim(1, 0), 2)


def _padded(tensor: torch.Tensor, axes: int) -> torch.Tensor:
    """Put zeros behind the last axes, up to a multiple of `MULTIPLE`."""
    from torch.nn.functional import pad

    missing = [-size % MULTIPLE for size in tensor.shape[-axes:]]
    return pad(tensor, [side for size in reversed(missing) for side in (0, size)])


def _apply(spec: Spec, x: torch.Tensor, matrices: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, ci) -> (n, co)``."""
    import torch
    from torch.nn.functional import grouped_mm

    count, samples = groups(spec), len(x)
    blocks = gathered(spec, x).reshape(samples, count, spec.group_channels).movedim(1, 0)
    rows = _padded(blocks, 1).flatten(0, 1)
    ends = torch.arange(1, count + 1, dtype=torch.int32) * samples
    products = grouped_mm(rows, matrices, offs=ends).unflatten(0, (count, samples))
    y: torch.Tensor = products[..., : spec.out_channels // count].movedim(0, 1).reshape(spec.y_shape(samples))
    return y if offsets is None else y + offsets
