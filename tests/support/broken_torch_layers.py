"""The same in torch, for two-dimensional layers: derivatives by autograd.

``IN_TORCH`` maps the id of the deviation that a diagnosis has to name to the layer that has it.
"""

import numpy as np
import torch


class TorchUnfold:
    """Two-dimensional, stride and dilation through torch.nn.functional.unfold, derivatives by autograd."""

    def supports(self, spec, dtype, op):
        if spec.rank != 2 or spec.groups > 1 or spec.channel_table is not None or op == "transpose":
            return "a plain two-dimensional layer only"
        return True

    def image(self, x):
        return x.movedim(-1, 1)

    def patches(self, spec, x):
        (top, bottom), (left, right) = spec.padding
        image = torch.nn.functional.pad(self.image(x), (left, right, top, bottom))
        settings = {"kernel_size": spec.kernel_size, "stride": spec.stride, "dilation": spec.dilation}
        unfolded = torch.nn.functional.unfold(image, **settings)  # (n, c*k, p)
        taps = spec.kernel_size[0] * spec.kernel_size[1]
        return unfolded.reshape(len(x), x.shape[-1], taps, unfolded.shape[-1]).transpose(1, 2)  # (n, k, c, p)

    def matrix(self, spec, weight):
        full = weight.expand(*spec.output_size, *weight.shape[2:])
        return full.reshape(
            -1, *np.prod(weight.shape[2:4], dtype=int, keepdims=True), *weight.shape[4:]
        )  # (p, k, c, f)

    def combine(self, spec, patches, matrix):
        return torch.einsum("nkcp,pkcf->npf", patches, matrix)

    def output(self, spec, rows, bias):
        y = rows.reshape(len(rows), *spec.output_size, spec.out_channels)
        return y if bias is None else y + bias

    def run(self, spec, x, weight, bias):
        rows = self.combine(spec, self.patches(spec, x), self.matrix(spec, weight))
        return self.output(spec, rows, bias)

    def forward(self, spec, x, weight, bias):
        return self.run(spec, *(None if a is None else torch.tensor(a) for a in (x, weight, bias)))

    def vjp(self, spec, x, weight, bias, dy):
        leaves = [None if a is None else torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
        y = self.run(spec, *leaves)
        asked = [leaf for leaf in leaves if leaf is not None]
        grads = torch.autograd.grad(y, asked, torch.tensor(dy))
        return (*grads, None) if bias is None else grads


def channel_major(_, __, patches, matrix):
    """Multiplies what unfold gives, channel-major, with the weight as it lies in memory."""
    n, k, c, p = patches.shape
    return torch.einsum("njp,pjf->npf", patches.transpose(1, 2).reshape(n, c * k, p), matrix.reshape(p, k * c, -1))


def reshaped_output(self, *given):
    y = TorchUnfold.output(self, *given)
    return y.movedim(-1, 1).reshape(y.shape)


def transposed_kernels(self, spec, weight):
    """Stores the kernels (kx, ky) and multiplies them with patches (ky, kx)."""
    return TorchUnfold.matrix(self, spec, weight.transpose(2, 3).reshape(weight.shape))


def one_kernel(self, spec, weight):
    return TorchUnfold.matrix(self, spec, weight[:1, :1].expand(weight.shape))


STEPS = {
    "patch/channel-major": {"combine": channel_major},
    "input/reshaped-from-channels-first": {"image": lambda _, x: x.reshape(len(x), x.shape[-1], *x.shape[1:-1])},
    "output/reshaped-to-channels-last": {"output": reshaped_output},
    "taps/axes-swapped-stored": {"matrix": transposed_kernels},
    "weights/first-position": {"matrix": one_kernel},
}
IN_TORCH = {name: type("Broken", (TorchUnfold,), steps)() for name, steps in STEPS.items()}
