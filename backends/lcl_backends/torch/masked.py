"""One dense `linear` from all inputs to all outputs under a fixed mask.

The entries under the mask are filled with ones, so that it is the mask, not luck, that keeps them out of the result.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lcl_backends.support import Capabilities, groups
from lcl_backends.support.torch import (
    ACCUMULATION,
    WITH_COMPLEX,
    TorchLayer,
    bias_per_output,
    declared,
    filters_per_position,
    to_tensor,
    windows,
)
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """`torch.nn.functional.linear` of ``weight * mask``."""

    declaration = declared(
        name="torch.masked",
        summary="One dense matrix from all inputs to all outputs, multiplied by a constant 0/1 mask on every call.",
        layout="torch/masked_linear",
        capabilities=Capabilities(
            channel_table=True,
            dtypes=WITH_COMPLEX,
            accumulation=ACCUMULATION,
            nonfinite=False,
            max_matrix=2**24,
            why={
                "nonfinite": "masked entries are zeros, and 0 * inf is NaN at outputs that do not see the input",
                "max_matrix": "the matrix, its mask and their gradients are dense",
            },
        ),
        holds="dense_matrix",
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Scatter the weight into the dense matrix, and ones into the mask."""
        columns = _columns(spec)
        mask = _dense(spec, columns, to_tensor(np.ones(columns.shape, weight.dtype)), 0)
        return TorchLayer(spec, partial(_apply, mask), weight, bias, partial(_filled, columns), bias_per_output)


def _filled(columns: torch.Tensor, spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(o*, k*, cg, co) -> (o*co, i*ci)``."""
    return _dense(spec, columns, filters_per_position(spec, weight), 1)


def _columns(spec: Spec) -> torch.Tensor:
    """``(o*co, cg*k)``: 1 + the flat index of the input element that each weight reads, 0 in the padding.

    Found by taking the windows of an input that holds these numbers.
    """
    import torch

    shape = spec.x_shape(1)
    numbers = torch.arange(1, math.prod(shape) + 1).reshape(shape)
    seen = windows(spec, numbers).reshape(math.prod(spec.output_size), groups(spec), 1, spec.fan_in)
    per_group = spec.out_channels // groups(spec)
    return seen.expand(-1, -1, per_group, -1).reshape(-1, spec.fan_in)


def _dense(spec: Spec, columns: torch.Tensor, values: torch.Tensor, hidden: float) -> torch.Tensor:
    """``(o*co, i*ci)``: `values` in their columns, `hidden` elsewhere; column 0, which reads padding, is dropped."""
    empty = values.new_full((len(columns), 1 + math.prod(spec.x_shape(1))), hidden)
    return empty.scatter(1, columns, values.reshape(columns.shape))[:, 1:]


def _apply(
    mask: torch.Tensor, spec: Spec, x: torch.Tensor, matrix: torch.Tensor, offsets: torch.Tensor | None = None
) -> torch.Tensor:
    """``(n, i*, ci) -> (n, o*, co)``."""
    from torch.nn.functional import linear

    return linear(x.flatten(1), matrix * mask, offsets).reshape(spec.y_shape(len(x)))
