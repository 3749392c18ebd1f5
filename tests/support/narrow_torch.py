"""The commonest layer: a torch module with an int kernel, symmetric padding and a bias per position."""

import numpy as np
import torch
from torch.nn import functional


class LocallyConnected2d(torch.nn.Module):
    """Channels first; `padding` are its rows and its columns, given to `unfold` as they come."""

    def __init__(self, in_channels, out_channels, output_size, kernel_size, padding):
        super().__init__()
        self.output_size, self.kernel_size, self.padding = output_size, kernel_size, padding
        positions = output_size[0] * output_size[1]
        self.weight = torch.nn.Parameter(torch.zeros(positions, out_channels, in_channels * kernel_size**2))
        self.bias = torch.nn.Parameter(torch.zeros(out_channels, *output_size))

    def forward(self, x):
        patches = functional.unfold(x, self.kernel_size, padding=self.padding)
        patches = patches[:, :, : len(self.weight)]
        if patches.shape[2] < len(self.weight):
            patches = functional.pad(patches, (0, len(self.weight) - patches.shape[2]))
        return torch.einsum("nkp,pok->nop", patches, self.weight).unflatten(2, self.output_size) + self.bias


class Right:
    swapped = False

    def supports(self, spec, dtype, op):
        if dtype not in ("float32", "float64"):
            return "float32 and float64 only"
        if spec.rank != 2 or spec.groups != 1 or spec.channel_table is not None or any(spec.shared):
            return "a plain layer of two axes"
        if len(set(spec.kernel_size)) > 1 or {*spec.stride, *spec.dilation} != {1}:
            return "an int kernel, no stride, no dilation"
        symmetric = all(lo == hi for lo, hi in spec.padding)
        return True if symmetric and spec.bias == "position" else "symmetric padding and a bias per position"

    def prepare(self, spec, weight, bias, dtype):
        padding = tuple(lo for lo, _ in spec.padding)
        module = LocallyConnected2d(
            spec.in_channels,
            spec.out_channels,
            spec.output_size,
            spec.kernel_size[0],
            padding[::-1] if self.swapped else padding,
        ).to(getattr(torch, dtype))
        with torch.no_grad():
            module.weight.copy_(torch.tensor(np.transpose(weight, (0, 1, 5, 4, 2, 3))).flatten(3).flatten(0, 1))
            module.bias.copy_(torch.tensor(bias).movedim(-1, 0))
        return Prepared(module)


class Swapped(Right):
    """The two padding axes are exchanged."""

    swapped = True


class Prepared:
    def __init__(self, module):
        self.module = module

    def forward(self, x):
        return self.module(torch.tensor(x).movedim(-1, 1)).movedim(1, -1)
