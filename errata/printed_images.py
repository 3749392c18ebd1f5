"""More snippets as printed, behind the door for layers of one's own: convolutions and images (S2, S3, frameworks)."""

import math

import numpy as np
import torch
from mlx import core as mx
from torch.nn.functional import conv1d, conv2d, pad

from errata import channel_snippets, framework_snippets, twodfc_snippets
from errata.printed_layers import Layer, is_plain, is_unpadded


def is_dense(spec):
    whole = spec.rank == 2 and spec.kernel_size == spec.input_size and is_unpadded(spec)
    return whole and spec.groups == 1 and spec.channel_table is None


class ChannelLocal(Layer):
    """S2.1: c_g = c*G + g with G inputs per output: groups = outputs, one weight for all positions."""

    def printed_for(self, spec):
        whole = spec.in_channels == spec.out_channels * spec.group_channels and spec.group_channels > 1
        rule = channel_snippets.rule(spec.in_channels, spec.out_channels, spec.group_channels)
        return spec.rank in (1, 2) and all(spec.shared) and whole and np.array_equal(spec.channels, rule)

    def channels(self, spec):
        return channel_snippets.rule(spec.in_channels, spec.out_channels, spec.group_channels)

    def forward(self, spec, x, weight, bias):
        first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))[:, self.channels(spec).flatten()]
        wide = pad(first, [size for pair in reversed(spec.padding) for size in pair])
        filters = np.ascontiguousarray(np.moveaxis(weight[(0,) * spec.rank], (-1, -2), (0, 1)))
        convolve = conv1d if spec.rank == 1 else conv2d
        settings = {"stride": spec.stride, "dilation": spec.dilation, "groups": spec.out_channels}
        y = torch.movedim(convolve(wide, torch.from_numpy(filters), **settings), 1, -1)
        return y if bias is None else y + torch.from_numpy(bias)


class ChannelLocalByGroups(ChannelLocal):
    """S2.1: c*G + g with G for the number of groups, c for the channel in a group; one weight for all positions."""

    def printed_for(self, spec):
        return spec.rank in (1, 2) and all(spec.shared) and spec.groups > 1

    def channels(self, spec):
        group = np.arange(spec.out_channels) * spec.groups // spec.out_channels
        return np.arange(spec.group_channels) * spec.groups + group[:, None]


class LocallyConnectedConv2d(Layer):
    """S2.2: the class, each sample by itself; a convolution that keeps the size, square kernel (erratum C4)."""

    kind = channel_snippets.Printed

    def printed_for(self, spec):
        square = spec.rank == 2 and len(set(spec.kernel_size)) == 1 and spec.input_size == spec.output_size
        everyday = spec.groups == 1 and all(spec.shared) and {*spec.stride, *spec.dilation} == {1}
        return square and everyday and spec.bias == "channel"

    def forward(self, spec, x, weight, bias):
        layer = self.kind(spec.in_channels, spec.out_channels, spec.kernel_size[0])
        layer.weight.data = torch.from_numpy(weight[0, 0].transpose(3, 2, 0, 1).copy())
        layer.bias.data = torch.from_numpy(bias)
        first = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
        return torch.movedim(self.apply(layer, first), 1, -1).detach()

    def apply(self, layer, x):
        return torch.cat([layer(sample[None]) for sample in x])


class LocallyConnectedConv2dOfBatch(LocallyConnectedConv2d):
    """S2.2: the same given the batch at once (erratum C2)."""

    def apply(self, layer, x):
        return layer(x)


class LocallyConnectedConv2dReshaped(LocallyConnectedConv2dOfBatch):
    """S2.2: with its shapes repaired, so that a batch runs; odd kernels (erratum C3)."""

    kind = channel_snippets.ShapeRepaired

    def printed_for(self, spec):
        return super().printed_for(spec) and spec.kernel_size[0] % 2 == 1


class KerasBias(Layer):
    """S2.3: tf_keras LocallyConnected, channels first, with the bias as its shape says (erratum X1)."""

    def printed_for(self, spec):
        small = spec.rank in (1, 2) and math.prod(spec.weight_shape) < 1500
        return small and is_plain(spec) and is_unpadded(spec) and spec.bias == "position"

    def forward(self, spec, x, weight, bias):
        import lcl_ref as lcl
        from lcl_backends.support.tensorflow import load_keras2

        layers = load_keras2().layers
        kind = layers.LocallyConnected1D if spec.rank == 1 else layers.LocallyConnected2D
        settings = {"data_format": "channels_first", "implementation": 1, "dtype": x.dtype.name}
        layer = kind(spec.out_channels, spec.kernel_size, spec.stride, **settings)
        first = np.moveaxis(x, -1, 1)
        layer.build((None, *first.shape[1:]))
        target = "keras2/impl1/channels_first"
        kernel, _ = lcl.layouts.convert(spec, weight, bias, source="canonical", target=target)
        layer.set_weights([kernel, framework_snippets.stored_bias(bias)])
        return np.moveaxis(np.asarray(layer(first)), 1, -1)


class TwoDFC(Layer):
    """S3.1: an image against a weight of its size; no bias."""

    kind = twodfc_snippets.Printed

    def printed_for(self, spec):
        return is_dense(spec) and spec.bias == "none"

    def forward(self, spec, x, weight, bias):
        layer = self.kind((spec.input_size[0], spec.input_size[1] * spec.in_channels), spec.out_channels)
        layer.weight.data = torch.from_numpy(weight.reshape(layer.weight.shape).copy())
        if bias is not None:
            layer.bias.data = torch.from_numpy(bias.reshape(-1).copy())
        y = self.apply(layer, torch.from_numpy(x).flatten(2)).detach()
        return y.reshape(spec.y_shape(len(x))) if y.ndim == 2 else y

    def apply(self, layer, x):
        return layer(x)


class TwoDFCv2(TwoDFC):
    """S3.2: the same with a bias."""

    kind = twodfc_snippets.Printed2

    def printed_for(self, spec):
        return is_dense(spec) and spec.bias != "none"


class TwoDFCv3(TwoDFCv2):
    """S3.3: the same drawn as Linear."""

    kind = twodfc_snippets.Printed3


class LinearOfTwoDFC(TwoDFCv3):
    """S3.3: its weight given to Linear by a reshape, which fits, without the transpose (erratum D2)."""

    def apply(self, layer, x):
        return twodfc_snippets.as_linear_reshaped(layer)(x)


class GreyImages(TwoDFCv3):
    """S3.3: fed by a loader of grey images, (n, 1, height, width) (erratum D3)."""

    def apply(self, layer, x):
        return layer(x[:, None])


class ConvLocal(Layer):
    """Flax's local convolution with taps before channels in its kernel (erratum X2)."""

    dtypes = ("float32",)

    def printed_for(self, spec):
        return spec.rank == 2 and is_plain(spec) and is_unpadded(spec) and spec.bias == "none"

    def forward(self, spec, x, weight, bias):
        import jax
        from flax import linen

        settings = {"strides": spec.stride, "padding": "VALID", "use_bias": False}
        module = linen.ConvLocal(spec.out_channels, spec.kernel_size, precision=jax.lax.Precision.HIGHEST, **settings)
        kernel = framework_snippets.fused_kernel(weight.reshape(*spec.output_size, -1, 1, spec.out_channels))
        return module.apply({"params": {"kernel": kernel}}, x)


class Float64Conv(Layer):
    """A convolution of MLX in float64 (erratum X3)."""

    def printed_for(self, spec):
        same = all(lo == hi for lo, hi in spec.padding)
        return spec.rank == 1 and all(spec.shared) and spec.groups == 1 and spec.channel_table is None and same

    def forward(self, spec, x, weight, bias):
        form = getattr(mx, x.dtype.name)
        settings = {"stride": spec.stride[0], "padding": spec.padding[0][0], "dilation": spec.dilation[0]}
        with mx.stream(mx.cpu):
            filters = mx.array(np.ascontiguousarray(np.moveaxis(weight[0], -1, 0)), dtype=form)
            y = mx.conv1d(mx.array(x, dtype=form), filters, **settings)
            return np.array(y if bias is None else y + mx.array(bias, dtype=form))
