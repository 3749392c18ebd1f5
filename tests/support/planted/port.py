"""A port of the layer, written from SPEC.md as many people would: `mistakes.toml` replaces one piece of this text."""

import itertools

import numpy as np


def positions(spec):
    return itertools.product(*map(range, spec.output_size))


def taps(spec):
    return itertools.product(*map(range, spec.kernel_size))


def site(spec, o, k):
    lows = [lo for lo, hi in spec.padding]
    return tuple(a * s + t * d - lo for a, s, t, d, lo in zip(o, spec.stride, k, spec.dilation, lows))


def inside(spec, i):
    return all(0 <= a < size for a, size in zip(i, spec.input_size))


def place(spec, o):
    return tuple(0 if shared else a for a, shared in zip(o, spec.shared))


def blocks(spec):
    if spec.channel_table is not None:
        return [(list(row), [f]) for f, row in enumerate(spec.channel_table)]
    cin, cout = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    return [(range(g * cin, (g + 1) * cin), range(g * cout, (g + 1) * cout)) for g in range(spec.groups)]


def forward(spec, x, weight, bias):
    y = np.zeros((len(x), *spec.output_size, spec.out_channels), x.dtype)
    for o in positions(spec):
        for k in taps(spec):
            i = site(spec, o, k)
            if not inside(spec, i):
                continue
            w = weight[place(spec, o) + k]
            for row, out in blocks(spec):
                y[(slice(None), *o)][:, out] += x[(slice(None), *i)][:, row] @ w[:, out]
        if bias is not None:
            y[(slice(None), *o)] += bias[o] if spec.bias == "position" else bias
    return y


def input_gradient(spec, weight, dy, xlen):
    dx = np.zeros((xlen, *spec.input_size, spec.in_channels), dy.dtype)
    for p in positions(spec):
        for t in taps(spec):
            i = site(spec, p, t)
            if not inside(spec, i):
                continue
            kernel = weight[place(spec, p) + t]
            for row, out in blocks(spec):
                dx[(slice(None), *i)][:, row] += dy[(slice(None), *p)][:, out] @ kernel[:, out].T
    return dx


def weight_gradient(spec, x, dy, weight):
    dw = np.zeros_like(weight)
    for q in positions(spec):
        for tap in taps(spec):
            i = site(spec, q, tap)
            if not inside(spec, i):
                continue
            part = dw[place(spec, q) + tap]
            for row, out in blocks(spec):
                part[:, out] += x[(slice(None), *i)][:, row].T @ dy[(slice(None), *q)][:, out]
    return dw


def bias_gradient(spec, dy):
    if spec.bias == "none":
        return None
    if spec.bias == "channel":
        return dy.sum(axis=tuple(range(dy.ndim - 1)))
    return dy.sum(axis=0)


def vjp(spec, x, weight, bias, dy):
    return input_gradient(spec, weight, dy, len(x)), weight_gradient(spec, x, dy, weight), bias_gradient(spec, dy)


def transpose(spec, y, weight):
    return input_gradient(spec, weight, y, len(y))
