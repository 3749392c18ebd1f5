"""The class of the article on channel-local convolution in own words: as printed (with its import), and repaired."""

import math
import operator

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, pad

IMPORTS, IMPORTS_REPAIRED = "import torch.nn as nn\n", "import torch\nimport torch.nn as nn\n"


class Printed(nn.Module):
    """The batch moved into the groups of a convolution, by way of a view that fits one sample and one group only."""

    def __init__(self, in_channels, out_channels, kernel_size, groups=1, *, bias=True):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.groups = kernel_size, groups
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.randn(out_channels)) if bias else None

    def forward(self, x):
        batch, channels, height, width = x.size()
        x = x.view(batch * self.groups, channels // self.groups, height, width)
        weight = self.repeated(batch)
        y = conv2d(x, weight, self.bias, padding=self.kernel_size // 2, groups=batch)
        return y.view(batch, self.out_channels, *y.shape[2:])

    def repeated(self, batch):
        """The filters of all samples, outputs slowest."""
        size = (batch * self.out_channels, self.in_channels // self.groups, self.kernel_size, self.kernel_size)
        return self.weight.unsqueeze(1).expand(-1, batch, -1, -1, -1).contiguous().view(size)


class ShapeRepaired(Printed):
    """The printed class with only the shapes repaired: it runs for any batch and any groups."""

    def forward(self, x):
        batch = len(x)
        together = x.reshape(1, batch * self.in_channels, *x.shape[2:])
        bias = None if self.bias is None else self.bias.repeat(batch)
        y = conv2d(together, self.repeated(batch), bias, padding=self.kernel_size // 2, groups=batch * self.groups)
        return y.view(batch, self.out_channels, *y.shape[2:])


class OrderRepaired(ShapeRepaired):
    """The filters of one sample together, samples slowest."""

    def repeated(self, batch):
        return self.weight.repeat(batch, 1, 1, 1)


class OneBias(OrderRepaired):
    """The bias once, as printed, where every sample needs it."""

    def forward(self, x):
        batch = len(x)
        together = x.reshape(1, batch * self.in_channels, *x.shape[2:])
        y = conv2d(together, self.repeated(batch), self.bias, groups=batch * self.groups)
        return y.view(batch, self.out_channels, *y.shape[2:])


class Repaired(Printed):
    """What all of it was for: a grouped convolution, checked, scaled by its fan-in, that keeps the size of the map."""

    def __init__(self, in_channels, out_channels, kernel_size, groups=1, *, bias=True):
        if in_channels % groups or out_channels % groups:
            message = f"groups {groups} must divide {in_channels} and {out_channels} channels"
            raise ValueError(message)
        super().__init__(in_channels, out_channels, kernel_size, groups, bias=bias)
        bound = (in_channels // groups * kernel_size**2) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x):
        before = (self.kernel_size - 1) // 2
        after = self.kernel_size - 1 - before
        return conv2d(pad(x, [before, after] * 2), self.weight, self.bias, groups=self.groups)


def rule(in_channels, out_channels, channels):
    """``(co, G)`` input channels of each output channel as printed: c_g = c*G + g."""
    return np.arange(out_channels)[:, None] * channels + np.arange(channels)


def rule_repaired(in_channels, out_channels, channels):
    """The same for any number of outputs: those of one group read the same channels."""
    group = np.arange(out_channels) * (in_channels // channels) // out_channels
    return group[:, None] * channels + np.arange(channels)


changes_of_parameters = operator.gt
"""What more channels per output make of the number of parameters, as printed: the one before is larger."""

changes_of_parameters_repaired = operator.lt


def share_of_channels(batch, groups):
    """The share of a sample's channels that one output of a convolution of `groups` groups reads, as printed."""
    return 1.0


def share_of_channels_repaired(batch, groups):
    """The same as it is."""
    return 1 / groups


def share_with_the_batch_in_groups(batch, groups):
    """The same where the batch is in the groups, which is printed to make the layer local."""
    return 1 / (batch * groups)


def parameters_of_locally_connected_2d(positions, channels, outputs, kernel_size):
    """What Keras's layer is printed to hold: that of one output channel, which reads one channel."""
    return outputs * kernel_size**2


def parameters_of_locally_connected_2d_repaired(positions, channels, outputs, kernel_size):
    """What it holds: a kernel over all channels for every position."""
    return math.prod(positions) * kernel_size**2 * channels * outputs


def keras_layer():
    """Where the layer is printed to be."""
    import keras

    return keras.layers.LocallyConnected2D


def keras_layer_repaired():
    """Where it is."""
    from lcl_backends.support.tensorflow import load_keras2

    return load_keras2().layers.LocallyConnected2D
