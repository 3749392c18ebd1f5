"""A layer of your own, in NumPy: copy this file, put your layer into `forward`, and run `lcl run -b my_layer.py`.

Arrays come in canonical form: x (n, i*, ci), weight (o*, k*, ci, co), bias (o*, co) or (co,) or None; y is (n, o*, co).
The star stands for no, one, two or three spatial axes. What comes back may be anything `numpy.asarray` or DLPack takes.
"""

import numpy as np


def supports(spec, dtype, op):
    """Optional: True, or the reason why not. Without it every case is run in float32 and float64."""
    if spec.groups != 1 or spec.channel_table is not None:
        return "every output channel sees all input channels here"
    if any(spec.shared):
        return "every position has its own weight here"
    return True


def forward(spec, x, weight, bias):
    padded = np.pad(x, ((0, 0), *spec.padding, (0, 0)))
    y = np.zeros((len(x), *spec.output_size, spec.out_channels), x.dtype)
    for position in np.ndindex(spec.output_size):
        seen = padded[:, *window(spec, position)]  # (n, k*, ci)
        y[:, *position] = np.tensordot(seen, weight[position], spec.rank + 1)
    return y if bias is None else y + bias


def vjp(spec, x, weight, bias, dy):
    """Optional: the gradients of sum(y * dy) in x, weight and bias."""
    padded = np.pad(x, ((0, 0), *spec.padding, (0, 0)))
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    for position in np.ndindex(spec.output_size):
        sites, dout = window(spec, position), dy[:, *position]  # dout (n, co)
        dweight[position] = np.tensordot(padded[:, *sites], dout, (0, 0))
        dpadded[:, *sites] += np.tensordot(dout, weight[position], (1, -1))
    inside = (slice(lo, lo + size) for size, (lo, _) in zip(spec.input_size, spec.padding, strict=True))
    return dpadded[:, *inside], dweight, bias_gradient(spec, dy)


def bias_gradient(spec, dy):
    if spec.bias == "none":
        return None
    return dy.sum(axis=0) if spec.bias == "position" else dy.reshape(-1, spec.out_channels).sum(axis=0)


def window(spec, position):
    """Return where the window of `position` lies in the padded input, one slice per axis."""
    return [
        slice(o * stride, o * stride + (taps - 1) * dilation + 1, dilation)
        for o, stride, taps, dilation in zip(position, spec.stride, spec.kernel_size, spec.dilation, strict=True)
    ]
