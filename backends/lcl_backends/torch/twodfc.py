"""The image times a weight of its own shape with outputs as a last axis, summed over the image: a broadcast product.

It builds a product with an element per sample, pixel and output; `torch.linear` computes the same without.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lcl_backends.support.torch import Parameters, TorchLayer
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import Capabilities, Declaration

if TYPE_CHECKING:
    import torch


class Adapter:
    """``(x[..., None] * weight).sum(image) + bias``."""

    declaration = Declaration(
        name="torch.twodfc",
        framework="torch",
        modules=("torch",),
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
        images = Parameters(weight, lambda tensor: [tensor.reshape(1, *tensor.shape[spec.rank :])])
        offsets = Parameters(bias, lambda tensor: [tensor.flatten()])
        return TorchLayer(spec, partial(_apply, spec, images.tensor, offsets.tensor), images, offsets)


def _apply(spec: Spec, images: torch.Tensor, offsets: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """``(n, i*, ci) -> (n, 1*, co)``."""
    y = (x[..., None] * images).sum(dim=tuple(range(1, x.ndim)))
    return (y if offsets is None else y + offsets).reshape(spec.y_shape(len(x)))
