"""Snippets as printed, behind the door for layers of one's own: what `lcl diagnose` is shown.

Each takes canonical arrays and does with them what the snippet, or a port that trusts it, does, on the layers it is
printed for. Here are those for vectors and windows that tile (S0, S1); `errata.printed` lists them all.
"""

import numpy as np
import torch
from mlx import core as mx
from torch.nn.functional import conv1d

from errata import mlx_snippets, thread_snippets


class Layer:
    """A layer that has no derivatives, and takes only what it is printed for."""

    dtypes = ("float32", "float64")

    def supports(self, spec, dtype, op):
        if op != "forward" or dtype not in self.dtypes:
            return f"as printed: forward in {' or '.join(self.dtypes)}"
        return True if self.printed_for(spec) else f"as printed: {' '.join(type(self).__doc__.split())}"


def has_blocks(spec):
    return spec.rank == 0 and spec.channel_table is None


def is_plain(spec):
    return spec.groups == 1 and spec.channel_table is None and not any(spec.shared)


def is_unpadded(spec):
    return not any(map(any, spec.padding)) and set(spec.dilation) <= {1}


def is_tiled(spec):
    filled = all(
        size == out * kernel
        for size, out, kernel in zip(spec.input_size, spec.output_size, spec.kernel_size, strict=True)
    )
    return filled and spec.stride == spec.kernel_size and is_unpadded(spec)


class Line(Layer):
    """S0.1: LCL with its own weight (windows, outputs, taps*channels); windows tile one axis, no bias."""

    def printed_for(self, spec):
        return spec.rank == 1 and is_plain(spec) and is_tiled(spec) and spec.bias == "none"

    def forward(self, spec, x, weight, bias):
        (windows,), (taps,) = spec.output_size, spec.kernel_size
        with mx.stream(mx.cpu):
            layer = mlx_snippets.Printed(spec.in_channels, spec.out_channels, taps, windows)
            flat = weight.reshape(windows, spec.fan_in, spec.out_channels).swapaxes(1, 2)
            layer.weight = mx.array(np.ascontiguousarray(flat), dtype=getattr(mx, weight.dtype.name))
            return np.array(layer(mx.array(x, dtype=getattr(mx, x.dtype.name))))


class ChannelsBeforeTaps(Line):
    """S0.1: the same weight on the patches of torch.unfold, any window without padding (erratum A6)."""

    def printed_for(self, spec):
        return spec.rank == 1 and is_plain(spec) and is_unpadded(spec)

    def forward(self, spec, x, weight, bias):
        patches = torch.from_numpy(x).unfold(1, spec.kernel_size[0], spec.stride[0]).flatten(2)
        kernels = torch.from_numpy(weight.copy()).reshape(*spec.output_size, spec.fan_in, spec.out_channels)
        y = torch.einsum("npk,pko->npo", patches, kernels)
        return y if bias is None else y + torch.from_numpy(bias)


class Picture(Layer):
    """S0.2: the function made a class; windows tile two axes, either bias."""

    def printed_for(self, spec):
        return spec.rank == 2 and is_plain(spec) and is_tiled(spec)

    def forward(self, spec, x, weight, bias):
        with mx.stream(mx.cpu):
            kernels = mx.array(np.ascontiguousarray(np.moveaxis(weight, -1, 0)), dtype=getattr(mx, weight.dtype.name))
            held = None if bias is None else mx.array(self.held(bias), dtype=getattr(mx, bias.dtype.name))
            layer = mlx_snippets.PrintedImage(kernels, held)
            return np.array(layer(mx.array(x, dtype=getattr(mx, x.dtype.name))))

    def held(self, bias):
        return bias


class PictureWithStrayBias(Picture):
    """S0.2: with a bias of one number per position, (o*, 1), which fits as well (erratum A4)."""

    def held(self, bias):
        return np.ascontiguousarray(bias[..., :1])


class LoopOfSamples(Layer):
    """S1.1: a list of Linear for blocks, a bias, each sample by itself as it takes them (erratum B3)."""

    def printed_for(self, spec):
        return has_blocks(spec) and spec.bias != "none"

    def forward(self, spec, x, weight, bias):
        layer = thread_snippets.Loop(spec.groups, spec.group_channels, spec.out_channels // spec.groups)
        parts = zip(layer.layers, np.split(weight, spec.groups, 1), np.split(bias, spec.groups), strict=True)
        for linear, block, part in parts:
            linear.weight.data, linear.bias.data = torch.from_numpy(block.T.copy()), torch.from_numpy(part.copy())
        y = self.apply(layer, torch.from_numpy(x)).detach()
        return y.reshape(spec.y_shape(len(x)))

    def apply(self, layer, x):
        return torch.stack([layer(sample) for sample in x]) if len(x) else torch.zeros(0)


class LoopOfBatch(LoopOfSamples):
    """S1.1: the same given the batch at once, which is no sample (erratum B2)."""

    def printed_for(self, spec):
        return super().printed_for(spec) and spec.groups > 1

    def apply(self, layer, x):
        return layer(x)


class MaskedLinear(Layer):
    """S1.2: a dense Linear under a mask; blocks, a bias (erratum B7)."""

    def printed_for(self, spec):
        return has_blocks(spec) and spec.bias != "none"

    def forward(self, spec, x, weight, bias):
        layer = thread_snippets.Masked(spec.groups, spec.group_channels, spec.out_channels // spec.groups)
        layer.mask = layer.mask.to(torch.from_numpy(weight).dtype)
        blocks = [torch.from_numpy(w.T.copy()) for w in np.split(weight, spec.groups, 1)]
        layer.layer.weight.data, layer.layer.bias.data = torch.block_diag(*blocks), torch.from_numpy(bias)
        return layer(torch.from_numpy(x)).detach()


class TiedConv(Layer):
    """S1.3: one Conv1d on a view; blocks along one axis share a weight and a bias (erratum B9)."""

    def printed_for(self, spec):
        return spec.rank == 1 and is_tiled(spec) and all(spec.shared) and spec.groups == 1 and spec.bias == "channel"

    def forward(self, spec, x, weight, bias):
        layer = thread_snippets.Tied(spec.output_size[0], spec.fan_in, spec.out_channels)
        matrix = weight.reshape(spec.fan_in, spec.out_channels).T.copy()
        layer.conv.weight.data, layer.conv.bias.data = torch.from_numpy(matrix)[..., None], torch.from_numpy(bias)
        return layer(torch.from_numpy(x).flatten(1)).detach().reshape(spec.y_shape(len(x)))


class TiedLinear(TiedConv):
    """S1.7: a reshape and one Linear on the last axis."""

    def forward(self, spec, x, weight, bias):
        blocks = torch.from_numpy(x).reshape(len(x), *spec.output_size, spec.fan_in)
        matrix = torch.from_numpy(weight.reshape(spec.fan_in, spec.out_channels).T.copy())
        return torch.nn.functional.linear(blocks, matrix, torch.from_numpy(bias))


class GroupedConv(Layer):
    """S1.4: one grouped Conv1d of kernel size 1, fed with the axis it wants; blocks."""

    def printed_for(self, spec):
        return has_blocks(spec)

    def forward(self, spec, x, weight, bias):
        filters = torch.from_numpy(weight.T.copy())[..., None]
        held = None if bias is None else torch.from_numpy(bias)
        return self.without_axis(conv1d(torch.from_numpy(x)[..., None], filters, held, groups=spec.groups))

    def without_axis(self, y):
        return y[..., 0]


class BareConv(GroupedConv):
    """S1.4: the same fed with rows as they are; blocks (erratum B11)."""

    def forward(self, spec, x, weight, bias):
        filters = torch.from_numpy(weight.T.copy())[..., None]
        return conv1d(
            torch.from_numpy(x), filters, None if bias is None else torch.from_numpy(bias), groups=spec.groups
        )


class SqueezedConv(GroupedConv):
    """S1.5: the same behind `squeeze()` (erratum B12)."""

    def without_axis(self, y):
        return y.squeeze()
