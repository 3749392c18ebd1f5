"""The modules of the PyTorch thread in own words: as posted, with only what keeps them from running mended; repaired.

`blocks` blocks of `inputs` inputs and `outputs` outputs each; the figure of the thread has two of two and three.
"""

import torch
from torch import nn
from torch.nn.functional import linear
from torch.nn.utils import prune

POSTED = "class Posted(nn.Module):\ndef __init__(self):\nself.layer = nn.Linear(2, 3)"
POSTED_REPAIRED = "class Posted(nn.Module):\n  def __init__(self):\n    self.layer = nn.Linear(2, 3)"


class WithoutSuper(nn.Module):
    """A module as all of the thread begin."""

    def __init__(self):
        self.layers = nn.ModuleList([nn.Linear(2, 3)])


class WithSuper(nn.Module):
    """The same as it has to begin."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 3)])


LIST_OF_LAYERS, LIST_OF_LAYERS_REPAIRED = "Module", "ModuleList"
LAYERS_IN_A_ROW, LAYERS_IN_A_ROW_REPAIRED = "Sequence", "Sequential"


class Loop(nn.Module):
    """A list of Linear and a buffer they are written into, for one sample."""

    def __init__(self, blocks=2, inputs=2, outputs=3):
        super().__init__()
        self.blocks, self.inputs, self.outputs = blocks, inputs, outputs
        self.layers = nn.ModuleList([nn.Linear(inputs, outputs) for _ in range(blocks)])

    def forward(self, x):
        y = torch.zeros(self.blocks, self.outputs)
        for block in range(self.blocks):
            y[block, :] = self.layers[block](x.view(self.blocks, self.inputs)[block, :])
        return y.flatten()


class LoopRepaired(Loop):
    """The same for a batch, with outputs stacked: the dtype is that of the input, and backward is linear."""

    def forward(self, x):
        if x.ndim != 2 or x.shape[1] != self.blocks * self.inputs:
            message = f"expected (n, {self.blocks * self.inputs}), got {tuple(x.shape)}"
            raise ValueError(message)
        parts = x.unflatten(1, (self.blocks, self.inputs)).unbind(1)
        return torch.stack([layer(part) for layer, part in zip(self.layers, parts, strict=True)], dim=1).flatten(1)


class Masked(nn.Module):
    """A dense Linear that is pruned again in every call."""

    def __init__(self, blocks=2, inputs=2, outputs=3):
        super().__init__()
        self.layer = nn.Linear(blocks * inputs, blocks * outputs)
        self.mask = torch.block_diag(*[torch.ones(outputs, inputs)] * blocks)

    def forward(self, x):
        prune.custom_from_mask(self.layer, name="weight", mask=self.mask)
        return self.layer(x)


class MaskedRepaired(nn.Module):
    """One parameter with zeros where nothing is joined, a mask that is a buffer, and the scale of a block's fan-in."""

    def __init__(self, blocks=2, inputs=2, outputs=3):
        super().__init__()
        self.layer = nn.Linear(blocks * inputs, blocks * outputs)
        self.register_buffer("mask", torch.block_diag(*[torch.ones(outputs, inputs)] * blocks))
        with torch.no_grad():
            self.layer.weight *= self.mask * blocks**0.5
            self.layer.bias *= blocks**0.5

    def forward(self, x):
        return linear(x, self.layer.weight * self.mask, self.layer.bias)


class Tied(nn.Module):
    """One Conv1d of kernel size 1 on a view of the input."""

    def __init__(self, blocks=2, inputs=2, outputs=3, *, posted_shape=False):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel_size=1)
        self.blocks, self.posted_shape = blocks, posted_shape

    def forward(self, x):
        batch, width = x.shape
        y = self.conv(x.view(batch, width // self.blocks, -1))
        return y.view(batch, width) if self.posted_shape else y.reshape(batch, -1)


class TiedRepaired(Tied):
    """The same with blocks transposed behind the channels and back."""

    def forward(self, x):
        y = self.conv(x.unflatten(1, (self.blocks, -1)).transpose(1, 2).contiguous())
        return y.transpose(1, 2).flatten(1)


class Grouped(nn.Module):
    """One grouped Conv1d of kernel size 1, and `squeeze` of whatever has length 1."""

    def __init__(self, blocks=2, inputs=1, outputs=2):
        super().__init__()
        self.layers = nn.Conv1d(blocks * inputs, blocks * outputs, kernel_size=1, groups=blocks)

    def forward(self, x):
        return self.layers(x.unsqueeze(-1)).squeeze()


class Bare(Grouped):
    """The convolution by itself, as the thread shows it first."""

    def forward(self, x):
        return self.layers(x)


class GroupedRepaired(Grouped):
    """The same with the one axis squeezed that was added."""

    def forward(self, x):
        return self.layers(x.unsqueeze(-1)).squeeze(-1)


class OddOutputs(nn.Sequential):
    """Two grouped convolutions in a row, the second for an odd number of outputs: it is refused."""

    def __init__(self):
        super().__init__(nn.Conv1d(2, 4, 1, groups=2), nn.Conv1d(4, 3, 1, groups=3))


class OddOutputsWider(nn.Sequential):
    """The same with a middle that three groups divide: it runs, and mixes the blocks."""

    def __init__(self):
        super().__init__(nn.Conv1d(2, 6, 1, groups=2), nn.Conv1d(6, 3, 1, groups=3))


class OddOutputsRepaired(nn.Sequential):
    """An odd number of outputs for each of two blocks, by one grouped convolution."""

    def __init__(self):
        super().__init__(nn.Conv1d(2, 6, 1, groups=2))


def first_is_useless(hidden, inputs, outputs):
    """What the thread says of the first of two layers without an activation between them."""
    return True


def first_is_useless_repaired(hidden, inputs, outputs):
    """When it is so."""
    return hidden >= min(inputs, outputs)
