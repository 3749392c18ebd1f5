"""Snippets as printed, behind the door for layers of one's own: what `lcl diagnose` is shown.

Each takes canonical arrays and does with them what the snippet, or a port that trusts it, does.
"""

import math

import numpy as np
import torch
from torch.nn.functional import conv1d

from tests.errata.thread_snippets import Masked


def forward_of(rank):
    """`supports` for a layer of this rank that has no derivatives."""
    return lambda spec, _dtype, op: "as printed: forward only" if op != "forward" or spec.rank != rank else True


class MaskedLinear:
    """S1.2: a dense Linear under a mask (erratum B7)."""

    def supports(self, spec, dtype, op):
        plain = spec.rank == 0 and spec.channel_table is None and spec.bias != "none" and dtype == "float32"
        return True if plain and op == "forward" else "as printed: forward, blocks, a bias, float32"

    def forward(self, spec, x, weight, bias):
        per_group = spec.out_channels // spec.groups
        layer = Masked(spec.groups, spec.group_channels, per_group)
        layer.layer.weight.data = torch.block_diag(
            *[torch.from_numpy(w.T.copy()) for w in np.split(weight, spec.groups, 1)]
        )
        layer.layer.bias.data = torch.from_numpy(bias)
        return layer(torch.from_numpy(x)).detach()


class SqueezedConv:
    """S1.5: a grouped convolution and `squeeze()` (erratum B12)."""

    def supports(self, spec, dtype, op):
        plain = spec.rank == 0 and spec.channel_table is None and dtype in ("float32", "float64")
        return True if plain and op == "forward" else "as printed: forward, blocks"

    def forward(self, spec, x, weight, bias):
        filters = torch.from_numpy(weight.T.copy())[..., None]
        held = None if bias is None else torch.from_numpy(bias)
        return conv1d(torch.from_numpy(x)[..., None], filters, held, groups=spec.groups).squeeze()


class ChannelsBeforeTaps:
    """S0.1 on the patches of torch.unfold, with the weight as the article lays it out (erratum A6)."""

    def supports(self, spec, dtype, op):
        plain = spec.rank == 1 and spec.groups == 1 and spec.channel_table is None and not any(spec.shared)
        geometry = spec.padding == ((0, 0),) and spec.dilation == (1,) and dtype in ("float32", "float64")
        return True if plain and geometry and op == "forward" else "as printed: forward, one axis, no padding"

    def forward(self, spec, x, weight, bias):
        patches = torch.from_numpy(x).unfold(1, spec.kernel_size[0], spec.stride[0]).flatten(2)
        kernels = torch.from_numpy(weight.copy()).reshape(*spec.output_size, spec.fan_in, spec.out_channels)
        y = torch.einsum("npk,pko->npo", patches, kernels)
        return y if bias is None else y + torch.from_numpy(bias)


class LinearOfTwoDFC:
    """S3: the weight of TwoDFC given to Linear by a reshape, which fits, without the transpose (erratum D2)."""

    def supports(self, spec, dtype, op):
        dense = spec.rank > 0 and spec.kernel_size == spec.input_size and not any(map(any, spec.padding))
        plain = spec.groups == 1 and spec.channel_table is None and dtype in ("float32", "float64")
        return True if dense and plain and op == "forward" else "as printed: forward, one window that is the input"

    def forward(self, spec, x, weight, bias):
        matrix = torch.from_numpy(weight.copy()).reshape(spec.out_channels, spec.fan_in)
        y = torch.nn.functional.linear(torch.from_numpy(x).flatten(1), matrix)
        flat = y if bias is None else y + torch.from_numpy(bias.reshape(-1))
        return flat.reshape(spec.y_shape(len(x)))


class KerasBias:
    """tf_keras LocallyConnected, channels first, with the bias as its shape says (erratum X1)."""

    def supports(self, spec, dtype, op):
        plain = spec.rank in (1, 2) and spec.groups == 1 and spec.channel_table is None and not any(spec.shared)
        geometry = not any(map(any, spec.padding)) and all(size == 1 for size in spec.dilation)
        small = spec.bias == "position" and dtype == "float32" and math.prod(spec.weight_shape) < 1500
        return True if plain and geometry and small and op == "forward" else "forward, valid, a bias per position"

    def forward(self, spec, x, weight, bias):
        import lcl_ref as lcl
        from lcl_backends._tensorflow import load_keras2

        layers = load_keras2().layers
        kind = layers.LocallyConnected1D if spec.rank == 1 else layers.LocallyConnected2D
        layer = kind(spec.out_channels, spec.kernel_size, spec.stride, data_format="channels_first", implementation=1)
        first = np.moveaxis(x, -1, 1)
        layer.build((None, *first.shape[1:]))
        target = "keras2/impl1/channels_first"
        kernel, _ = lcl.layouts.convert(spec, weight, bias, source="canonical", target=target)
        layer.set_weights([kernel, bias])
        return np.moveaxis(np.asarray(layer(first)), 1, -1)
