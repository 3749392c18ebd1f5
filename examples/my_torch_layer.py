"""A torch module of your own, checked by `lcl run -b my_torch_layer.py:Layer`.

`LocallyConnected2d` stands for your module: channels first, `unfold`, one matrix per position. `Layer` tells the suite
how to put canonical weights into it, once, and how arrays cross the border.
"""

import numpy as np
import torch
from torch.nn import functional


class LocallyConnected2d(torch.nn.Module):
    def __init__(self, in_channels, out_channels, output_size, kernel_size, stride, dilation, padding):
        super().__init__()
        self.output_size, self.padding = output_size, padding  # padding: left, right, top, bottom
        self.window = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
        positions, taps = output_size[0] * output_size[1], kernel_size[0] * kernel_size[1]
        self.weight = torch.nn.Parameter(torch.zeros(positions, out_channels, in_channels * taps))
        self.bias = torch.nn.Parameter(torch.zeros(out_channels, *output_size))

    def forward(self, x):
        patches = functional.unfold(functional.pad(x, self.padding), **self.window)  # (n, ci*ky*kx, positions)
        y = torch.einsum("nkp,pok->nop", patches, self.weight)
        return y.unflatten(2, self.output_size) + self.bias


class Layer:
    def supports(self, spec, dtype, op):
        """Return True, or the reason why not."""
        if spec.rank != 2:
            return "the module is two-dimensional"
        if spec.groups != 1 or spec.channel_table is not None:
            return "every output channel sees all input channels"
        if any(spec.shared) or spec.bias != "position":
            return "weight and bias belong to one position each"
        return True

    def prepare(self, spec, weight, bias, dtype):
        """Build the module and fill it; the suite then calls the `forward` and `vjp` of what is returned."""
        (top, bottom), (left, right) = spec.padding
        module = LocallyConnected2d(
            spec.in_channels,
            spec.out_channels,
            spec.output_size,
            spec.kernel_size,
            spec.stride,
            spec.dilation,
            (left, right, top, bottom),
        ).to(getattr(torch, dtype))
        with torch.no_grad():
            module.weight.copy_(to_module(weight))
            module.bias.copy_(torch.tensor(bias).movedim(-1, 0))
        return Prepared(spec, module)


class Prepared:
    def __init__(self, spec, module):
        self.spec, self.module = spec, module

    def forward(self, x):
        return self.module(torch.tensor(x).movedim(-1, 1)).movedim(1, -1)

    def vjp(self, x, dy):
        x = torch.tensor(x, requires_grad=True)
        y = self.module(x.movedim(-1, 1)).movedim(1, -1)
        inputs = x, self.module.weight, self.module.bias
        dx, dweight, dbias = torch.autograd.grad(y, inputs, torch.tensor(dy))
        return dx, from_module(self.spec, dweight), dbias.movedim(0, -1)


def to_module(weight):
    """(oy, ox, ky, kx, ci, co) -> (oy*ox, co, ci*ky*kx): `unfold` puts the channel before the taps."""
    return torch.tensor(np.transpose(weight, (0, 1, 5, 4, 2, 3))).flatten(3).flatten(0, 1)


def from_module(spec, weight):
    """Undo `to_module`."""
    sizes = (*spec.output_size, spec.out_channels, spec.in_channels, *spec.kernel_size)
    return weight.reshape(sizes).permute(0, 1, 4, 5, 3, 2)
