"""The channel-local convolution as its formula says: a loop over output channels and the channels each of them reads.

Output channel f reads input channel ``table[f, c]`` through weight channel c. With as many groups as output channels
that is ``f * Cg + c``, which needs ``in_channels = out_channels * Cg``; in general it is
``(f // (out_channels / groups)) * Cg + c``, or whatever a connection table says.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from lcl_backends.support import Capabilities
from lcl_backends.support.numpy import NumpyLayer, declared
from lcl_ref.core.spec import Spec


class Adapter:
    """Channels first, channel by channel and tap by tap."""

    declaration = declared(
        name="numpy.channel_loop",
        summary="Channel-local convolution by its formula: loops over output channels, the channels read, and taps.",
        layout="torch/conv",
        capabilities=Capabilities(
            ranks=(1, 2, 3),
            sharing=("all",),
            channel_table=True,
            ops=("forward",),
            why={
                "ranks": "the formula has spatial axes",
                "sharing": "the formula has one weight for all positions",
                "ops": "the formula is of the layer only",
                "dtypes": "sums are stored between taps, which rounds half types at every tap",
            },
        ),
    )

    def prepare(self, spec: Spec, weight: Any, bias: Any, dtype: str) -> NumpyLayer:
        """Arrange the weight as ``(co, cg, k*)``."""
        kernel = np.moveaxis(weight[(0,) * spec.rank], (-1, -2), (0, 1))
        return NumpyLayer(spec, SimpleNamespace(forward=forward), kernel, bias)


def forward(spec: Spec, x: Any, kernel: Any, bias: Any) -> Any:
    """``(n, i*, ci), (co, cg, k*) -> (n, o*, co)``."""
    image: Any = np.pad(np.moveaxis(x, -1, 1), ((0, 0), (0, 0), *spec.padding))
    y = np.zeros((len(x), spec.out_channels, *spec.output_size), x.dtype)
    for (f, c), source in np.ndenumerate(spec.channels):
        for tap in np.ndindex(spec.kernel_size):
            y[:, f] += kernel[f, c, *tap] * image[:, source, *_sites(spec, tap)]
    last = np.moveaxis(y, 1, -1)
    return last if bias is None else last + bias


def _sites(spec: Spec, tap: tuple[int, ...]) -> list[slice]:
    """Return the sites of the padded image that `tap` reads, one for every position."""
    geometry = zip(tap, spec.output_size, spec.stride, spec.dilation, strict=True)
    return [slice(k * spread, k * spread + (size - 1) * step + 1, step) for k, size, step, spread in geometry]
