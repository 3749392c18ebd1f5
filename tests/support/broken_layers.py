"""Layers that users might write, each with one mistake; by hand, in plain loops, without the catalogue.

``BROKEN`` maps the id of the deviation that a diagnosis has to name to the layer that has it.
"""

from itertools import product

import numpy as np


class Loops:
    """A right layer: one position after the other. The broken ones replace one step."""

    def padded(self, spec, x):
        return np.pad(x, [(0, 0), *spec.padding, (0, 0)])

    def positions(self, spec):
        return product(*map(range, spec.output_size))

    def window(self, spec, xp, o):
        taken = xp
        for axis, at in enumerate(o):
            first = at * spec.stride[axis]
            index = first + np.arange(spec.kernel_size[axis]) * spec.dilation[axis]
            taken = taken.take(index, axis + 1)
        return taken  # (n, k*, ci)

    def kernel(self, spec, weight, o):
        return weight[tuple(0 if tied else at for at, tied in zip(o, spec.shared, strict=True))]

    def channels(self, spec, f):
        if spec.channel_table is not None:
            return list(spec.channel_table[f])
        width = spec.in_channels // spec.groups
        group = f // (spec.out_channels // spec.groups)
        return list(range(group * width, (group + 1) * width))

    def multiply(self, spec, window, kernel):
        out = np.zeros((len(window), spec.out_channels), window.dtype)
        for f in range(spec.out_channels):
            seen = window[..., self.channels(spec, f)].reshape(len(window), spec.fan_in)
            out[:, f] = seen @ np.ascontiguousarray(kernel[..., f]).reshape(spec.fan_in)
        return out

    def bias(self, spec, bias, o):
        return bias[o] if spec.bias == "position" else bias

    def finish(self, spec, y):
        return y

    def forward(self, spec, x, weight, bias):
        with np.errstate(invalid="ignore"):
            return self.computed(spec, x, weight, bias)

    def computed(self, spec, x, weight, bias):
        xp = self.padded(spec, x)
        y = np.zeros((len(x), *spec.output_size, spec.out_channels), x.dtype)
        for o in self.positions(spec):
            y[:, *o] = self.multiply(spec, self.window(spec, xp, o), self.kernel(spec, weight, o))
            if bias is not None:
                y[:, *o] += self.bias(spec, bias, o)
        return self.finish(spec, y)


class FlippedTaps(Loops):
    def window(self, spec, xp, o):
        return np.flip(super().window(spec, xp, o), tuple(range(1, spec.rank + 1)))


class FlippedAlongX(Loops):
    def window(self, spec, xp, o):
        window = super().window(spec, xp, o)
        return window[..., ::-1, :] if spec.rank else window


class ChannelMajorPatch(Loops):
    """Flattens the patch (c, k) and the kernel (k, c)."""

    def multiply(self, spec, window, kernel):
        columns = []
        for f in range(spec.out_channels):
            patch = np.moveaxis(window[..., self.channels(spec, f)], -1, 1).reshape(len(window), spec.fan_in)
            columns.append(patch @ kernel[..., f].reshape(-1))
        return np.stack(columns, -1)


class ChannelMajorKernel(Loops):
    """Flattens the kernel (c, k) and the patch (k, c)."""

    def multiply(self, spec, window, kernel):
        columns = []
        for f in range(spec.out_channels):
            patch = window[..., self.channels(spec, f)].reshape(len(window), spec.fan_in)
            columns.append(patch @ np.moveaxis(kernel[..., f], -1, 0).reshape(-1))
        return np.stack(columns, -1)


class TransposedPatch(Loops):
    """Takes the taps column by column."""

    def window(self, spec, xp, o):
        window = super().window(spec, xp, o)
        order = (0, *range(spec.rank, 0, -1), spec.rank + 1)
        return window.transpose(order).reshape(window.shape)


class ColumnMajorPositions(Loops):
    """Counts the weights' positions column by column."""

    def kernel(self, spec, weight, o):
        at = super().kernel(
            spec, np.arange(np.prod(spec.weight_size, dtype=int)).reshape(spec.weight_size, order="F"), o
        )
        return weight.reshape(-1, *weight.shape[spec.rank :])[at]


class OutByIn(Loops):
    """Takes the last two axes of the weight for (out, in)."""

    def kernel(self, spec, weight, o):
        kernel = super().kernel(spec, weight, o)
        return np.swapaxes(kernel.reshape(*spec.kernel_size, spec.out_channels, spec.group_channels), -1, -2)


class TorchOrderKernel(Loops):
    """Takes every kernel for (out, in, taps)."""

    def kernel(self, spec, weight, o):
        kernel = super().kernel(spec, weight, o)
        foreign = kernel.reshape(spec.out_channels, spec.group_channels, *spec.kernel_size)
        return np.moveaxis(foreign, (0, 1), (-1, -2))


class Convolution(Loops):
    """Has one kernel, that of the first position."""

    def kernel(self, spec, weight, o):
        return weight[(0,) * spec.rank]


class SharedAlongY(Loops):
    def kernel(self, spec, weight, o):
        return super().kernel(spec, weight, (*o[:-2], 0, o[-1]) if spec.rank > 1 else o)


class NoBias(Loops):
    def bias(self, spec, bias, o):
        return 0


class OneBias(Loops):
    def bias(self, spec, bias, o):
        return bias.reshape(-1, spec.out_channels)[0]


class MeanBias(Loops):
    def bias(self, spec, bias, o):
        return bias.reshape(-1, spec.out_channels).mean(0)


class ReshapedBias(Loops):
    """Works channels-first and reshapes the bias to it."""

    def bias(self, spec, bias, o):
        return bias.reshape(spec.out_channels, *spec.output_size)[:, *o] if spec.bias == "position" else bias


class BiasTwice(Loops):
    def bias(self, spec, bias, o):
        return super().bias(spec, bias, o) + super().bias(spec, bias, o)


class Padded(Loops):
    """Has room behind the input, for windows in the wrong place."""

    def padded(self, spec, x):
        return np.pad(x, [(0, 0), *((lo, hi + 40) for lo, hi in spec.padding), (0, 0)])


class StrideForgotten(Padded):
    def window(self, spec, xp, o):
        for axis, at in enumerate(o):
            xp = xp.take(at + np.arange(spec.kernel_size[axis]) * spec.dilation[axis], axis + 1)
        return xp


class StridesSwapped(Padded):
    def window(self, spec, xp, o):
        strides = spec.stride[::-1]
        for axis, at in enumerate(o):
            index = at * strides[axis] + np.arange(spec.kernel_size[axis]) * spec.dilation[axis]
            xp = xp.take(index, axis + 1)
        return xp


class DilationForgotten(Padded):
    def window(self, spec, xp, o):
        for axis, at in enumerate(o):
            first = at * spec.stride[axis]
            xp = xp.take(range(first, first + spec.kernel_size[axis]), axis + 1)
        return xp


class PaddedBehind(Loops):
    """Puts all padding behind the input."""

    def padded(self, spec, x):
        return np.pad(x, [(0, 0), *((0, lo + hi) for lo, hi in spec.padding), (0, 0)])


class PaddedOtherSide(Loops):
    def padded(self, spec, x):
        return np.pad(x, [(0, 0), *((hi, lo) for lo, hi in spec.padding), (0, 0)])


class EdgePadding(Loops):
    def padded(self, spec, x):
        return np.pad(x, [(0, 0), *spec.padding, (0, 0)], mode="edge") if len(x) else super().padded(spec, x)


class CircularPadding(Loops):
    def padded(self, spec, x):
        return np.pad(x, [(0, 0), *spec.padding, (0, 0)], mode="wrap") if len(x) else super().padded(spec, x)


class OneSiteLate(Loops):
    def padded(self, spec, x):
        xp = np.pad(x, [(0, 0), *((lo, hi + 1) for lo, hi in spec.padding), (0, 0)])
        return xp[:, *[slice(1, None)] * spec.rank]


class FirstGroupOnly(Loops):
    def channels(self, spec, f):
        if spec.channel_table is not None:
            return super().channels(spec, f)
        return list(range(spec.group_channels))


class DealtInputs(Loops):
    """Group g reads channels g, g + groups, ..."""

    def channels(self, spec, f):
        if spec.groups == 1:
            return super().channels(spec, f)
        return list(range(f // (spec.out_channels // spec.groups), spec.in_channels, spec.groups))


class DealtOutputs(Loops):
    """Output channel f belongs to group f % groups."""

    def channels(self, spec, f):
        if spec.groups == 1:
            return super().channels(spec, f)
        first = f % spec.groups * spec.group_channels
        return list(range(first, first + spec.group_channels))


class BlocksReversed(Loops):
    def channels(self, spec, f):
        if spec.groups == 1:
            return super().channels(spec, f)
        last = spec.in_channels - f // (spec.out_channels // spec.groups) * spec.group_channels
        return list(range(last - spec.group_channels, last))


class SortedTable(Loops):
    def channels(self, spec, f):
        return sorted(super().channels(spec, f))


class ReshapedToChannelsLast(Loops):
    """Computes channels-first and reshapes at the end."""

    def finish(self, spec, y):
        return np.stack([np.moveaxis(sample, -1, 0).reshape(sample.shape) for sample in y]) if len(y) else y


class ChannelsFirst(Loops):
    def finish(self, spec, y):
        return np.moveaxis(y, -1, 1)


class Squeezed(Loops):
    def finish(self, spec, y):
        return y.squeeze()


class NeverCleared(Loops):
    """One accumulator for the whole batch."""

    def finish(self, spec, y):
        total = np.zeros(y.shape[1:], y.dtype)
        for n in range(len(y)):
            total = total + y[n]
            y[n] = total
        return y


class BatchReversed(Loops):
    def forward(self, spec, x, weight, bias):
        return super().forward(spec, x, weight, bias)[::-1]


class LastPositionForgotten(Loops):
    def positions(self, spec):
        every = list(super().positions(spec))
        return every[:-1] if spec.rank else every


class FourAtATime(Loops):
    """Multiplies channels in vectors of four and drops the tail."""

    def padded(self, spec, x):
        x = x.copy()
        x[..., x.shape[-1] - x.shape[-1] % 4 :] = 0
        return super().padded(spec, x)


class Singles(Loops):
    def forward(self, spec, x, weight, bias):
        narrow = [None if array is None else array.astype(np.float32) for array in (x, weight, bias)]
        return super().forward(spec, *narrow).astype(x.dtype)


class HalfOutput(Loops):
    def finish(self, spec, y):
        with np.errstate(over="ignore"):
            return y.astype(np.float16).astype(y.dtype)


class TensorFloat(Loops):
    """Cuts operands to eleven bits as a tensor core does."""

    def cut(self, array):
        bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
        bits = (bits + 0xFFF + (bits >> 13 & 1)) & ~np.uint64(0x1FFF)
        return bits.astype(np.uint32).view(np.float32).astype(array.dtype)

    def forward(self, spec, x, weight, bias):
        finite = np.isfinite(x)
        if x.dtype == np.float64:
            return super().forward(spec, x, weight, bias)
        return super().forward(spec, np.where(finite, self.cut(np.where(finite, x, 0)), x), self.cut(weight), bias)


class BrainFloat(TensorFloat):
    """Cuts operands to bfloat16."""

    def cut(self, array):
        bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & ~np.uint64(0xFFFF)
        return bits.astype(np.uint32).view(np.float32).astype(array.dtype)


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


class NoEmptyBatch(Loops):
    def finish(self, spec, y):
        return y.reshape(-1, *spec.output_size, int(y.size / len(y) / max(np.prod(spec.output_size, dtype=int), 1)))


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
            sites = [at * spec.stride[a] + np.arange(spec.kernel_size[a]) * spec.dilation[a] for a, at in enumerate(o)]
            self.store(dxp, np.ix_(range(len(x)), *sites, range(spec.in_channels)), dseen)
            self.store_dw(dw, q, part, dy)
        inner = [slice(lo, lo + size) for (lo, _), size in zip(spec.padding, spec.input_size, strict=True)]
        return dxp[:, *inner], dw, None if bias is None else self.db(spec, dy)


class OverlapOverwritten(Gradients):
    def store(self, total, index, part):
        total[index] = part


class DxFlipped(Gradients):
    def for_dx(self, kernel):
        return np.flip(kernel, tuple(range(kernel.ndim - 2)))


class DwAveraged(Gradients):
    def vjp(self, spec, x, weight, bias, dy):
        dx, dw, db = super().vjp(spec, x, weight, bias, dy)
        return dx, dw / max(len(x), 1), db


class DwNotSummed(Gradients):
    def store_dw(self, dw, q, part, dy):
        dw[q] = part


class DbOfOneSample(Gradients):
    def db(self, spec, dy):
        return super().db(spec, dy[:1])


class Detached(Gradients):
    def vjp(self, spec, x, weight, bias, dy):
        dx, dw, db = super().vjp(spec, x, weight, bias, dy)
        return np.zeros_like(dx), dw, db


BROKEN = {
    "taps/flipped": FlippedTaps(),
    "taps/flipped[x]": FlippedAlongX(),
    "patch/channel-major": ChannelMajorPatch(),
    "patch/channel-major-stored": ChannelMajorKernel(),
    "taps/axes-swapped": TransposedPatch(),
    "weights/positions-transposed": ColumnMajorPositions(),
    "weights/in-out-swapped": OutByIn(),
    "weights/read-as-oihw": TorchOrderKernel(),
    "weights/first-position": Convolution(),
    "weights/tied[y]": SharedAlongY(),
    "bias/dropped": NoBias(),
    "bias/first-position": OneBias(),
    "bias/mean": MeanBias(),
    "bias/reshaped": ReshapedBias(),
    "bias/twice": BiasTwice(),
    "stride/ignored": StrideForgotten(),
    "stride/axes-swapped": StridesSwapped(),
    "dilation/ignored": DilationForgotten(),
    "padding/ignored": PaddedBehind(),
    "padding/sides-swapped": PaddedOtherSide(),
    "padding/edge": EdgePadding(),
    "padding/wrap": CircularPadding(),
    "windows/one-late": OneSiteLate(),
    "groups/ignored": FirstGroupOnly(),
    "groups/interleaved-input": DealtInputs(),
    "groups/interleaved-output": DealtOutputs(),
    "groups/reversed": BlocksReversed(),
    "table/sorted": SortedTable(),
    "output/reshaped-to-channels-last": ReshapedToChannelsLast(),
    "output/channels-first": ChannelsFirst(),
    "output/squeezed": Squeezed(),
    "batch/leak": NeverCleared(),
    "batch/reversed": BatchReversed(),
    "batch/empty-refused": NoEmptyBatch(),
    "positions/last-skipped": LastPositionForgotten(),
    "channels/vector-tail": FourAtATime(),
    "precision/single": Singles(),
    "precision/half-output": HalfOutput(),
    "precision/tf32-operands": TensorFloat(),
    "precision/bfloat16-operands": BrainFloat(),
    "nonfinite/masked-dense": MaskedDense(),
    "dx/overlap-overwritten": OverlapOverwritten(),
    "dx/flipped-kernel": DxFlipped(),
    "dx/missing": Detached(),
    "dw/batch-averaged": DwAveraged(),
    "dw/last-shared-position": DwNotSummed(),
    "db/one-sample": DbOfOneSample(),
    "behaviour/input-mutated": Mutating(),
    "behaviour/stale-weights": Remembering(),
    "behaviour/nondeterministic": Racing(),
}

RIGHT = {"loops": Loops(), "gradients": Gradients()}
