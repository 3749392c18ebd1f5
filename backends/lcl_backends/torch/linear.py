"""One fully connected layer on the flattened image: what a locally connected layer is when its window is the input.

The image may be flattened with channels last or first. The two weights have the same shape and differ in the order of
their columns, so the wrong one runs and computes something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcl_backends.support import Capabilities, Declaration
from lcl_backends.support.torch import ACCUMULATION, DTYPES, TorchLayer, bias_per_output, declared
from lcl_ref.core.spec import Spec

if TYPE_CHECKING:
    import torch


def _declaration(name: str, summary: str, layout: str) -> Declaration:
    return declared(
        name=name,
        summary=summary,
        layout=layout,
        capabilities=Capabilities(
            stride="whole_input",
            groups=False,
            dtypes=DTYPES,
            accumulation=ACCUMULATION,
            why={
                "stride": "a fully connected layer is a locally connected one with a single position",
                "groups": "every output reads every input",
            },
        ),
    )


class _Linear:
    """A weight ``(co, elements)`` and a bias ``(co,)``; `channel_axis` is where channels stand in the image."""

    declaration: Declaration
    channel_axis: int

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> TorchLayer:
        """Order the columns as the image is flattened."""
        return TorchLayer(spec, self._apply, weight, bias, self._matrix, bias_per_output)

    def _matrix(self, spec: Spec, weight: torch.Tensor) -> torch.Tensor:
        """``(1*, k*, ci, co) -> (co, k*ci)`` or ``(co, ci*k)``."""
        window = weight.reshape(*spec.kernel_size, spec.in_channels, spec.out_channels)
        return window.movedim(-1, 0).movedim(-1, self.channel_axis).flatten(1)

    def _apply(
        self, spec: Spec, x: torch.Tensor, matrix: torch.Tensor, offsets: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``(n, i*, ci) -> (n, 1*, co)``."""
        from torch.nn.functional import linear

        return linear(x.movedim(-1, self.channel_axis).flatten(1), matrix, offsets).reshape(spec.y_shape(len(x)))


class ChannelsLast(_Linear):
    """`torch.nn.functional.linear` on the image flattened as (y, x, channel)."""

    declaration = _declaration(
        "torch.linear", "One linear on the channels-last image, flattened: the window is the input.", "torch/linear"
    )
    channel_axis = -1


class ChannelsFirst(_Linear):
    """`torch.nn.functional.linear` on the image flattened as (channel, y, x)."""

    declaration = _declaration(
        "torch.linear.channels_first",
        "One linear on the channels-first image, flattened: the window is the input.",
        "torch/linear/channels_first",
    )
    channel_axis = 1
