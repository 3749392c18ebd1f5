"""Layers that users might write, each with one mistake; by hand, in plain loops, without the catalogue.

``BROKEN`` maps the id of the deviation that a diagnosis has to name to the layer that has it. Most are the right layer
with one step replaced; their table is `STEPS`.
"""

from itertools import product

import numpy as np


class Loops:
    """A right layer: one position after the other. The broken ones replace one step."""

    mode = "constant"

    def sides(self, lo, hi):
        return lo, hi

    def padded(self, spec, x):
        widths = [(0, 0), *(self.sides(*pair) for pair in spec.padding), (0, 0)]
        return np.pad(x, widths, mode=self.mode if len(x) else "constant")

    def positions(self, spec):
        return product(*map(range, spec.output_size))

    def sites(self, spec, axis, at):
        return at * spec.stride[axis] + np.arange(spec.kernel_size[axis]) * spec.dilation[axis]

    def window(self, spec, xp, o):
        for axis, at in enumerate(o):
            xp = xp.take(self.sites(spec, axis, at), axis + 1)
        return xp  # (n, k*, ci)

    def kernel(self, spec, weight, o):
        return weight[tuple(0 if tied else at for at, tied in zip(o, spec.shared, strict=True))]

    def group(self, spec, f):
        return f // (spec.out_channels // spec.groups)

    def block(self, spec, group):
        return list(range(group * spec.group_channels, (group + 1) * spec.group_channels))

    def channels(self, spec, f):
        return self.block(spec, self.group(spec, f)) if spec.channel_table is None else list(spec.channel_table[f])

    def row(self, spec, patch):
        return patch.reshape(len(patch), spec.fan_in)

    def column(self, spec, kernel):
        return np.ascontiguousarray(kernel).reshape(spec.fan_in)

    def multiply(self, spec, window, kernel):
        out = np.zeros((len(window), spec.out_channels), window.dtype)
        for f in range(spec.out_channels):
            out[:, f] = self.row(spec, window[..., self.channels(spec, f)]) @ self.column(spec, kernel[..., f])
        return out

    def bias(self, spec, bias, o):
        return bias[o] if spec.bias == "position" else bias

    def finish(self, spec, y):
        return y

    def forward(self, spec, x, weight, bias):
        with np.errstate(invalid="ignore", over="ignore"):
            return self.computed(spec, x, weight, bias)

    def computed(self, spec, x, weight, bias):
        xp = self.padded(spec, x)
        y = np.zeros((len(x), *spec.output_size, spec.out_channels), x.dtype)
        for o in self.positions(spec):
            y[:, *o] = self.multiply(spec, self.window(spec, xp, o), self.kernel(spec, weight, o))
            if bias is not None:
                y[:, *o] += self.bias(spec, bias, o)
        return self.finish(spec, y)


def by_columns(self, spec, xp, o):
    window = Loops.window(self, spec, xp, o)
    return window.transpose(0, *range(spec.rank, 0, -1), spec.rank + 1).reshape(window.shape)


def of_transposed_position(self, spec, weight, o):
    count = np.arange(np.prod(spec.weight_size, dtype=int)).reshape(spec.weight_size, order="F")
    return weight.reshape(-1, *weight.shape[spec.rank :])[Loops.kernel(self, spec, count, o)]


def read_as_out_in(self, spec, weight, o):
    kernel = Loops.kernel(self, spec, weight, o)
    return np.swapaxes(kernel.reshape(*spec.kernel_size, spec.out_channels, spec.group_channels), -1, -2)


def read_as_oihw(self, spec, weight, o):
    kernel = Loops.kernel(self, spec, weight, o)
    return np.moveaxis(kernel.reshape(spec.out_channels, spec.group_channels, *spec.kernel_size), (0, 1), (-1, -2))


def reshaped_bias(_, spec, bias, o):
    """Works channels-first and reshapes the bias to it."""
    return bias.reshape(spec.out_channels, *spec.output_size)[:, *o] if spec.bias == "position" else bias


def reshaped_to_channels_last(_, __, y):
    return np.stack([np.moveaxis(sample, -1, 0).reshape(sample.shape) for sample in y]) if len(y) else y


def without_tail(self, spec, x):
    """Multiplies channels in vectors of four and drops the tail."""
    x = x.copy()
    x[..., x.shape[-1] - x.shape[-1] % 4 :] = 0
    return Loops.padded(self, spec, x)


def in_single(self, spec, x, weight, bias):
    narrow = [None if array is None else array.astype(np.float32) for array in (x, weight, bias)]
    return Loops.forward(self, spec, *narrow).astype(x.dtype)


def refuses_empty(_, spec, y):
    return y.reshape(-1, *spec.output_size, int(y.size / len(y) / max(np.prod(spec.output_size, dtype=int), 1)))


def with_room(_, lo, hi):
    """Leaves room behind the input, for windows in the wrong place."""
    return lo, hi + 40


STEPS = {
    "taps/flipped": {"window": lambda self, *given: np.flip(w := Loops.window(self, *given), range(1, w.ndim - 1))},
    "taps/flipped[x]": {
        "window": lambda self, spec, xp, o: Loops.window(self, spec, xp, o)[..., :: -1 if spec.rank else 1, :]
    },
    "patch/channel-major": {"row": lambda self, spec, patch: Loops.row(self, spec, np.moveaxis(patch, -1, 1))},
    "patch/channel-major-stored": {
        "column": lambda self, spec, kernel: Loops.column(self, spec, np.moveaxis(kernel, -1, 0))
    },
    "taps/axes-swapped": {"window": by_columns},
    "weights/positions-transposed": {"kernel": of_transposed_position},
    "weights/in-out-swapped": {"kernel": read_as_out_in},
    "weights/read-as-oihw": {"kernel": read_as_oihw},
    "weights/first-position": {"kernel": lambda _, spec, weight, __: weight[(0,) * spec.rank]},
    "weights/tied[y]": {
        "kernel": lambda self, spec, weight, o: Loops.kernel(
            self, spec, weight, (*o[:-2], 0, o[-1]) if spec.rank > 1 else o
        )
    },
    "bias/dropped": {"bias": lambda *_: 0},
    "bias/first-position": {"bias": lambda _, spec, bias, __: bias.reshape(-1, spec.out_channels)[0]},
    "bias/mean": {"bias": lambda _, spec, bias, __: bias.reshape(-1, spec.out_channels).mean(0)},
    "bias/reshaped": {"bias": reshaped_bias},
    "bias/twice": {"bias": lambda self, *given: Loops.bias(self, *given) + Loops.bias(self, *given)},
    "stride/ignored": {
        "sides": with_room,
        "sites": lambda _, spec, axis, at: at + np.arange(spec.kernel_size[axis]) * spec.dilation[axis],
    },
    "stride/axes-swapped": {
        "sides": with_room,
        "sites": lambda _, spec, axis, at: (
            at * spec.stride[::-1][axis] + np.arange(spec.kernel_size[axis]) * spec.dilation[axis]
        ),
    },
    "dilation/ignored": {
        "sides": with_room,
        "sites": lambda _, spec, axis, at: at * spec.stride[axis] + np.arange(spec.kernel_size[axis]),
    },
    "padding/ignored": {"sides": lambda _, lo, hi: (0, lo + hi)},
    "padding/sides-swapped": {"sides": lambda _, lo, hi: (hi, lo)},
    "padding/edge": {"mode": "edge"},
    "padding/wrap": {"mode": "wrap"},
    "windows/one-late": {
        "sides": lambda _, lo, hi: (lo, hi + 1),
        "sites": lambda self, *given: Loops.sites(self, *given) + 1,
    },
    "groups/ignored": {"group": lambda *_: 0},
    "groups/interleaved-input": {"block": lambda _, spec, group: list(range(group, spec.in_channels, spec.groups))},
    "groups/interleaved-output": {"group": lambda _, spec, f: f % spec.groups},
    "groups/reversed": {"group": lambda self, spec, f: spec.groups - 1 - Loops.group(self, spec, f)},
    "table/sorted": {"channels": lambda self, *given: sorted(Loops.channels(self, *given))},
    "output/reshaped-to-channels-last": {"finish": reshaped_to_channels_last},
    "output/channels-first": {"finish": lambda _, __, y: np.moveaxis(y, -1, 1)},
    "output/squeezed": {"finish": lambda _, __, y: y.squeeze()},
    "batch/leak": {"finish": lambda _, __, y: y.cumsum(axis=0)},
    "batch/reversed": {"forward": lambda self, *given: Loops.forward(self, *given)[::-1]},
    "batch/empty-refused": {"finish": refuses_empty},
    "positions/last-skipped": {
        "positions": lambda self, spec: list(Loops.positions(self, spec))[: -1 if spec.rank else None]
    },
    "channels/vector-tail": {"padded": without_tail},
    "precision/single": {"forward": in_single},
    "precision/half-output": {"finish": lambda _, __, y: y.astype(np.float16).astype(y.dtype)},
}
"""Deviation -> the steps of `Loops` that it replaces."""


class TensorFloat(Loops):
    """Cuts operands to eleven bits as a tensor core does."""

    dropped = 13

    def cut(self, array):
        bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
        bits = (bits + ((1 << self.dropped - 1) - 1) + (bits >> self.dropped & 1)) & ~np.uint64((1 << self.dropped) - 1)
        return bits.astype(np.uint32).view(np.float32).astype(array.dtype)

    def forward(self, spec, x, weight, bias):
        finite = np.isfinite(x)
        if x.dtype == np.float64:
            return super().forward(spec, x, weight, bias)
        return super().forward(spec, np.where(finite, self.cut(np.where(finite, x, 0)), x), self.cut(weight), bias)


class BrainFloat(TensorFloat):
    """Cuts operands to bfloat16."""

    dropped = 16


class MaskedDense(Loops):
    """One dense matrix of all inputs by all outputs, zero where nothing is connected."""

    def forward(self, spec, x, weight, bias):
        inputs = int(np.prod(spec.input_size, dtype=int)) * spec.in_channels
        one_by_one = np.eye(inputs, dtype=x.dtype).reshape(inputs, *spec.input_size, spec.in_channels)
        matrix = super().forward(spec, one_by_one, weight, None).reshape(inputs, -1)
        with np.errstate(invalid="ignore"):
            y = (
                (x.reshape(len(x), inputs, 1) * matrix)
                .sum(axis=1)
                .reshape(len(x), *spec.output_size, -1 if len(x) else spec.out_channels)
            )
        return y if bias is None else y + bias


class Mutating(Loops):
    def forward(self, spec, x, weight, bias):
        x += 1
        return super().forward(spec, x - 1, weight, bias)


class Remembering(Loops):
    def __init__(self):
        self.compiled = {}

    def forward(self, spec, x, weight, bias):
        kept = self.compiled.setdefault(spec, (weight.copy(), None if bias is None else bias.copy()))
        return super().forward(spec, x, kept[0].astype(x.dtype), bias if kept[1] is None else kept[1].astype(x.dtype))


class Racing(Loops):
    calls = 0

    def finish(self, spec, y):
        self.calls += 1
        return y * (1 if self.calls % 2 else 2)


class Gradients(Loops):
    """Derivatives by hand: right; the broken ones replace one step."""

    def store(self, total, index, part):
        total[index] += part

    def for_dx(self, kernel):
        return kernel

    def store_dw(self, dw, q, part, dy):
        dw[q] += part

    def db(self, spec, dy):
        return dy.sum(axis=0) if spec.bias == "position" else dy.reshape(-1, spec.out_channels).sum(axis=0)

    def vjp(self, spec, x, weight, bias, dy):
        xp = self.padded(spec, x)
        dxp, dw = np.zeros_like(xp), np.zeros_like(weight)
        for o in self.positions(spec):
            q = tuple(0 if tied else at for at, tied in zip(o, spec.shared, strict=True))
            seen, kernel = self.window(spec, xp, o), self.for_dx(weight[q])
            dseen, part = np.zeros_like(seen), np.zeros_like(weight[q])
            for f in range(spec.out_channels):
                row, out = self.channels(spec, f), dy[:, *o, f]
                for j, c in enumerate(row):
                    dseen[..., c] += out.reshape(-1, *[1] * spec.rank) * kernel[..., j, f]
                    part[..., j, f] = (out.reshape(-1, *[1] * spec.rank) * seen[..., c]).sum(axis=0)
            sites = [self.sites(spec, axis, at) for axis, at in enumerate(o)]
            self.store(dxp, np.ix_(range(len(x)), *sites, range(spec.in_channels)), dseen)
            self.store_dw(dw, q, part, dy)
        inner = [slice(lo, lo + size) for (lo, _), size in zip(spec.padding, spec.input_size, strict=True)]
        return dxp[:, *inner], dw, None if bias is None else self.db(spec, dy)


def averaged(self, spec, x, *given):
    dx, dw, db = Gradients.vjp(self, spec, x, *given)
    return dx, dw / max(len(x), 1), db


def detached(self, *given):
    dx, dw, db = Gradients.vjp(self, *given)
    return np.zeros_like(dx), dw, db


GRADIENT_STEPS = {
    "dx/overlap-overwritten": {"store": lambda _, total, index, part: total.__setitem__(index, part)},
    "dx/flipped-kernel": {"for_dx": lambda _, kernel: np.flip(kernel, range(kernel.ndim - 2))},
    "dx/missing": {"vjp": detached},
    "dw/batch-averaged": {"vjp": averaged},
    "dw/last-shared-position": {"store_dw": lambda _, dw, q, part, __: dw.__setitem__(q, part)},
    "db/one-sample": {"db": lambda self, spec, dy: Gradients.db(self, spec, dy[:1])},
}
"""Deviation -> the steps of `Gradients` that it replaces."""

BROKEN = {
    name: type("Broken", (base,), steps)()
    for base, table in ((Loops, STEPS), (Gradients, GRADIENT_STEPS))
    for name, steps in table.items()
} | {
    "precision/tf32-operands": TensorFloat(),
    "precision/bfloat16-operands": BrainFloat(),
    "nonfinite/masked-dense": MaskedDense(),
    "behaviour/input-mutated": Mutating(),
    "behaviour/stale-weights": Remembering(),
    "behaviour/nondeterministic": Racing(),
}

RIGHT = {"loops": Loops(), "gradients": Gradients()}
