"""The image times a weight of its own shape with outputs as a last axis, summed over the image: a broadcast product.

It builds a product with an element per sample, pixel and output; `torch.linear` computes the same without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities
from lcl_backends.support.torch import TorchLayer, bias_per_output, declared
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


class Adapter:
    """``(x[..., None] * weight).sum(image) + bias``."""

    declaration = declared(
        name="torch.twodfc",
        summary="The image times a weight (1, y, x, ci, co), broadcast and summed over the image (TwoDFC).",
        layout="torch/twodfc",
        capabilities=Capabilities(
            ranks=(1, 2, 3),
            stride="whole_input",
            groups=False,
            why={
                "ranks": "the weight keeps the axes of the image",
                "stride": "there is one sum, over the whole image",
                "groups": "every output reads every pixel",
                "dtypes": "products are stored before they are summed, which rounds half types once more",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Drop the position axes of the weight, which have length 1, but for one."""
        return TorchLayer(spec, _apply, weight, bias, _images, bias_per_output)


def _images(spec: Spec, weight: torch.Tensor) -> torch.Tensor:
    """``(1*, k*, ci, co) -> (1, k*, ci, co)``."""
    return weight.reshape(1, *weight.shape[spec.rank :])


def _apply(spec: Spec, x: torch.Tensor, images: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
    """``(n, i*, ci) -> (n, 1*, co)``."""
    y = (x[..., None] * images).sum(dim=tuple(range(1, x.ndim)))
    return (y if offsets is None else y + offsets).reshape(spec.y_shape(len(x)))
