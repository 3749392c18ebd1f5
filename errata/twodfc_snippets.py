"""The three versions of TwoDFC in own words: as printed (with their imports), and repaired."""

import math

import torch
from torch import nn

IMPORTS, IMPORTS_REPAIRED = "import torch\n", "import numpy as np\nimport torch\n"


class Printed(nn.Module):
    """Version 1: weight (1, height, width, outputs) of standard normal numbers, no bias."""

    def __init__(self, input_size, output_size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, *input_size, output_size))

    def forward(self, x):
        return (x.unsqueeze(-1) * self.weight).sum(dim=(1, 2))


class Printed2(Printed):
    """Version 2: and a bias of standard normal numbers."""

    def __init__(self, input_size, output_size):
        super().__init__(input_size, output_size)
        self.bias = nn.Parameter(torch.randn(output_size))

    def forward(self, x):
        return super().forward(x) + self.bias


class Printed3(Printed2):
    """Version 3: weight and bias drawn as `nn.Linear` draws them."""

    def __init__(self, input_size, output_size):
        super().__init__(input_size, output_size)
        bound = math.prod(input_size) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)


class Repaired(Printed3):
    """Version 3 with its shape checked and the product never built."""

    def __init__(self, input_size, output_size):
        super().__init__((input_size, input_size) if isinstance(input_size, int) else input_size, output_size)

    def forward(self, x):
        _, height, width, _ = self.weight.shape
        image = x.squeeze(1) if x.ndim == 4 and x.shape[1] == 1 else x
        if image.ndim != 3 or image.shape[1:] != (height, width):
            message = f"expected (n, {height}, {width}) or (n, 1, {height}, {width}), got {tuple(x.shape)}"
            raise ValueError(message)
        return torch.tensordot(image, self.weight[0], 2) + self.bias


def as_linear(layer):
    """The same layer as `nn.Linear` on the flattened image: Linear.weight[o, h*W + w] = weight[0, h, w, o]."""
    outputs = layer.weight.shape[-1]
    linear = nn.Linear(layer.weight[0].numel() // outputs, outputs, bias=hasattr(layer, "bias"))
    linear.weight.data = layer.weight.data[0].flatten(0, 1).T.clone()
    if hasattr(layer, "bias"):
        linear.bias.data = layer.bias.data.clone()
    return nn.Sequential(nn.Flatten(), linear)


class AsLinear(nn.Module):
    """The repaired layer with `nn.Linear` inside, which holds its numbers in an order that tools know."""

    def __init__(self, input_size, output_size):
        super().__init__()
        self.size, self.linear = input_size, nn.Linear(math.prod(input_size), output_size)

    @property
    def weight(self):
        """The weight in the shape of TwoDFC, a view."""
        return self.linear.weight.T.unflatten(0, self.size)[None]

    @property
    def bias(self):
        """The bias."""
        return self.linear.bias

    def forward(self, x):
        return self.linear(x.flatten(1))


def linear_shape(pixels, outputs):
    """The shape of the weight of `nn.Linear` as printed."""
    return (pixels, outputs)


def linear_shape_repaired(pixels, outputs):
    """The shape it has."""
    return (outputs, pixels)


def as_linear_reshaped(layer):
    """The port that trusts the printed shape: the numbers of the weight as they lie, which fits as well."""
    linear = as_linear(layer)
    linear[1].weight.data = layer.weight.data.reshape(linear[1].weight.shape)
    return linear


def initialise(layer):
    """Draw the weight by one of torch's own initialisers, as it stands."""
    nn.init.kaiming_uniform_(layer.weight)


def initialise_repaired(layer):
    """Draw it in the shape of Linear, of which it is a view."""
    nn.init.kaiming_uniform_(layer.weight[0].flatten(0, 1).T)
