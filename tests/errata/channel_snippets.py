"""The class of the article on channel-local convolution in own words: as printed (with its import), and repaired."""

import torch
from torch import nn
from torch.nn.functional import conv2d, pad


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
