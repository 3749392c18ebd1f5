"""The layers of the MLX article in own words: as printed, with only what keeps them from running mended; repaired."""

import mlx.core as mx
import torch
from mlx import nn


class Printed(nn.Module):
    """Windows side by side by reshape, then one product per window; weight (windows, outputs, taps*channels)."""

    def __init__(self, channels, outputs, kernel_size, windows):
        super().__init__()
        self.weight = self.scale(channels, kernel_size) * mx.random.normal((windows, outputs, channels * kernel_size))
        self.kernel_size, self.windows = kernel_size, windows

    def scale(self, channels, kernel_size):
        return channels**-0.5

    def __call__(self, x):
        seen = x.reshape(len(x), self.windows, self.kernel_size * x.shape[-1])
        return (seen.transpose(1, 0, 2) @ self.weight.swapaxes(-1, -2)).transpose(1, 0, 2)


class Repaired(Printed):
    """The same with the scale of the whole fan-in, a check of the shape, and a batch size that is not baked in."""

    def scale(self, channels, kernel_size):
        return (channels * kernel_size) ** -0.5

    def __call__(self, x):
        channels = self.weight.shape[-1] // self.kernel_size
        if x.shape[1:] != (self.windows * self.kernel_size, channels):
            message = f"expected (n, {self.windows * self.kernel_size}, {channels}), got {x.shape}"
            raise ValueError(message)
        seen = x.reshape(-1, self.windows, self.kernel_size * channels)
        return (seen.transpose(1, 0, 2) @ self.weight.swapaxes(-1, -2)).transpose(1, 0, 2)


class Tailed(Repaired):
    """And with what is behind the last window left out, and a single sample taken for one."""

    def __call__(self, x):
        if x.ndim == 2:
            return self(x[None])[0]
        return super().__call__(x[:, : self.windows * self.kernel_size])


class PrintedImage(nn.Module):
    """Six-axis reshape and einsum; weight (outputs, windows_y, windows_x, taps_y, taps_x, channels)."""

    def __init__(self, weight, bias=None):
        super().__init__()
        self.weight = weight
        if bias is not None:
            self.bias = bias

    def __call__(self, x):
        _, rows, columns, high, wide, channels = self.weight.shape
        seen = x.reshape(x.shape[0], rows, high, columns, wide, channels)
        y = mx.einsum("bhmwnc,ohwmnc->bhwo", seen, self.weight)
        return y + self.bias if "bias" in self else y


class RepairedImage(PrintedImage):
    """The same with height, width and the shape of the bias checked."""

    def __call__(self, x):
        outputs, rows, columns, high, wide, channels = self.weight.shape
        if x.shape[1:] != (rows * high, columns * wide, channels):
            message = f"expected (n, {rows * high}, {columns * wide}, {channels}), got {x.shape}"
            raise ValueError(message)
        if "bias" in self and self.bias.shape not in ((outputs,), (rows, columns, outputs)):
            message = f"expected ({outputs},) or ({rows}, {columns}, {outputs}), got {self.bias.shape}"
            raise ValueError(message)
        return super().__call__(x)


def has_bias(module):
    """Ask as the article does, which a module of MLX understands, being a dict."""
    return "bias" in module


def has_bias_ported(module):
    """Ask as the next best port does."""
    return hasattr(module, "bias")


def has_bias_repaired(module):
    """Ask what is meant, of a module of any framework."""
    try:
        return module.bias is not None
    except AttributeError:
        return False


def unfolded(x, weight, kernel_size):
    """The 1-D layer on torch.unfold with the weight (windows, outputs, taps*channels) as the article lays it out."""
    patches = torch.from_numpy(x).unfold(1, kernel_size, kernel_size).flatten(2)  # (n, windows, channels*taps)
    return torch.einsum("npk,pok->npo", patches, torch.from_numpy(weight))


def unfolded_repaired(x, weight, kernel_size):
    """The same with the weight reordered as torch.unfold orders a patch: (windows, outputs, channels*taps)."""
    windows, outputs, _ = weight.shape
    return unfolded(
        x, weight.reshape(windows, outputs, kernel_size, -1).swapaxes(2, 3).reshape(weight.shape), kernel_size
    )


def cost(windows, kernel_size):
    """What the article says cost grows with: the number of windows."""
    return windows


def cost_repaired(windows, kernel_size):
    """What it does grow with."""
    return windows * kernel_size
