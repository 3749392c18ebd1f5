"""Output shapes of Keras layers from their stored configuration, to learn the input size of a locally connected layer.

Shapes are tuples without the batch axis, in the layer's own data format; None, or None along an axis, is unknown. A
layer class that is not listed here has an unknown output: nothing is ever guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

Shape = tuple[int | None, ...] | None
Config = Mapping[str, Any]


class Flattened(tuple[int | None, ...]):  # noqa: SLOT001 -- a tuple's subclass cannot name slots
    """A shape whose last axis was made of several: layers that keep the shape keep what it was made of.

    Parameters
    ----------
    shape : sequence of int or None
        The shape.
    parts : sequence of shape
        The shapes that its last axis was made of, one after the other.
    """

    parts: tuple[tuple[int | None, ...], ...]

    def __new__(cls, shape: Sequence[int | None], parts: Sequence[Sequence[int | None]]) -> Self:
        """Return the shape; a tuple is made here."""
        made = super().__new__(cls, shape)
        made.parts = tuple(map(tuple, parts))
        return made


def parts_of(shape: Shape) -> tuple[tuple[int | None, ...], ...]:
    """Return what the last axis of a shape was made of: itself, where nothing was flattened."""
    return shape.parts if isinstance(shape, Flattened) else () if shape is None else (tuple(shape[-1:]),)


def per_axis(value: Any, rank: int) -> list[Any]:
    """Return one entry per spatial axis."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * rank


def window_count(size: int | None, kernel: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """Return the number of windows along one axis by Keras's rule."""
    if size is None:
        return None
    extent = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding.lower() in ("same", "causal") else (size - extent) // stride + 1


def _split(config: Config, shape: Sequence[int | None]) -> tuple[list[int | None], int | None, bool]:
    """Return spatial sizes, channels, and whether channels come first."""
    first = config.get("data_format") == "channels_first"
    return (list(shape[1:]), shape[0], True) if first else (list(shape[:-1]), shape[-1], False)


def _joined(sizes: Sequence[int | None], channels: int | None, first: bool) -> Shape:
    return (channels, *sizes) if first else (*sizes, channels)


def _convolution(config: Config, shape: Sequence[int | None]) -> Shape:
    sizes, channels, first = _split(config, shape)
    rank = len(sizes)
    fields = [per_axis(config.get(name, 1), rank) for name in ("kernel_size", "strides", "dilation_rate")]
    counts = [
        window_count(size, kernel, stride, config.get("padding", "valid"), dilation)
        for size, kernel, stride, dilation in zip(sizes, *fields, strict=True)
    ]
    depthwise = channels * config.get("depth_multiplier", 1) if channels is not None else None
    return _joined(counts, config.get("filters", depthwise), first)


def _pooling(config: Config, shape: Sequence[int | None]) -> Shape:
    sizes, channels, first = _split(config, shape)
    pool = per_axis(config["pool_size"], len(sizes))
    strides = per_axis(config.get("strides") or pool, len(sizes))
    padding = config.get("padding", "valid")
    counts = [window_count(n, k, s, padding) for n, k, s in zip(sizes, pool, strides, strict=True)]
    return _joined(counts, channels, first)


def _global_pooling(config: Config, shape: Sequence[int | None]) -> Shape:
    sizes, channels, first = _split(config, shape)
    return _joined([1] * len(sizes), channels, first) if config.get("keepdims") else (channels,)


def _pairs(config: Config, key: str, rank: int) -> list[tuple[int, int]]:
    pairs = config[key]
    if rank == 1 and isinstance(pairs, Sequence) and not isinstance(pairs[0], Sequence):
        return [(pairs[0], pairs[1])]
    return [(entry, entry) if isinstance(entry, int) else (entry[0], entry[1]) for entry in per_axis(pairs, rank)]


def _resized(key: str, sign: int) -> Callable[[Config, Sequence[int | None]], Shape]:
    """Return the rule of a layer that adds or drops elements at both ends."""

    def rule(config: Config, shape: Sequence[int | None]) -> Shape:
        sizes, channels, first = _split(config, shape)
        pairs = _pairs(config, key, len(sizes))
        changed = [None if n is None else n + sign * (lo + hi) for n, (lo, hi) in zip(sizes, pairs, strict=True)]
        return _joined(changed, channels, first)

    return rule


def _upsampling(config: Config, shape: Sequence[int | None]) -> Shape:
    sizes, channels, first = _split(config, shape)
    factors = per_axis(config["size"], len(sizes))
    grown = [None if n is None else n * factor for n, factor in zip(sizes, factors, strict=True)]
    return _joined(grown, channels, first)


def _flatten(config: Config, shape: Sequence[int | None]) -> Shape:
    known = [size for size in shape if size is not None]
    if config.get("data_format") == "channels_first" and len(shape) > 1:
        shape = (*shape[1:], shape[0])  # Keras moves the channels last before it flattens
    return Flattened((math.prod(known),), (shape,)) if len(known) == len(shape) else (None,)


def _reshape(config: Config, shape: Sequence[int | None]) -> Shape:
    target = list(config["target_shape"])
    known = [size for size in shape if size is not None]
    if -1 in target and len(known) == len(shape):
        target[target.index(-1)] = math.prod(known) // math.prod(size for size in target if size != -1)
    new = tuple(None if size == -1 else size for size in target)
    return Flattened(new, (shape,)) if len(new) == 1 < len(shape) else new


_UNARY: dict[str, Callable[[Config, Sequence[int | None]], Shape]] = {
    "Dense": lambda config, shape: (*shape[:-1], config["units"]),
    "Embedding": lambda config, shape: (*shape, config["output_dim"]),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": lambda config, shape: tuple(shape[axis - 1] for axis in config["dims"]),
    "RepeatVector": lambda config, shape: (config["n"], *shape),
}
for _rank in ("1D", "2D", "3D"):
    for _name in ("Conv", "DepthwiseConv", "SeparableConv", "LocallyConnected", "Convolution"):
        _UNARY[_name + _rank] = _convolution
    for _name in ("MaxPooling", "AveragePooling"):
        _UNARY[_name + _rank], _UNARY["Global" + _name + _rank] = _pooling, _global_pooling
    _UNARY["ZeroPadding" + _rank] = _resized("padding", 1)
    _UNARY["Cropping" + _rank] = _resized("cropping", -1)
    _UNARY["UpSampling" + _rank] = _upsampling

SAME_SHAPE = {
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "BatchNormalization"),
    *("LayerNormalization", "GroupNormalization", "UnitNormalization", "Dropout", "SpatialDropout1D"),
    *("SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Masking"),
    *("ActivityRegularization", "InputLayer", "Rescaling", "Normalization"),
}
MERGES = {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"}
KNOWN = {*_UNARY, *SAME_SHAPE, *MERGES, "Concatenate"}
"""Built-in layers whose output shape is known."""


def output_shape(class_name: str, config: Config, inputs: Sequence[Shape]) -> Shape:
    """Return the output shape of one layer, or None where it is not known."""
    if not inputs or any(shape is None for shape in inputs):
        return None
    shapes = [shape for shape in inputs if shape is not None]
    if class_name in SAME_SHAPE | MERGES:
        return shapes[0]
    if class_name == "Concatenate":
        return _concatenated(shapes, config.get("axis", -1))
    return _UNARY[class_name](config, shapes[0]) if class_name in _UNARY else None


def _concatenated(shapes: Sequence[tuple[int | None, ...]], axis: int) -> Shape:
    place = axis if axis < 0 else axis - 1 - len(shapes[0])  # counted from the end: there is no batch axis here
    lengths = [shape[place] for shape in shapes]
    known = [length for length in lengths if length is not None]
    joined = list(shapes[0])
    joined[place] = sum(known) if len(known) == len(lengths) else None
    flat = place == -1 and any(isinstance(shape, Flattened) for shape in shapes)
    return Flattened(joined, [part for shape in shapes for part in parts_of(shape)]) if flat else tuple(joined)
