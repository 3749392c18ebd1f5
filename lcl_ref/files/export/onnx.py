"""ONNX: each layer as a graph of standard operations, channels last, with its canonical arrays as initialisers.

A window is a slice per tap of the padded input; all windows of a position meet its weights in one batched product.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.files.contents import Array, LocalLayer
from lcl_ref.files.keras.writing import Produce
from lcl_ref.files.untrusted import problem

OPSET, IR = 13, 8
"""Version of the operations, and of the format, that are written."""

DTYPES = ("float16", "float32", "float64")


def write(path: Path, target: Path, layers: Sequence[LocalLayer], produce: Produce) -> list[str]:
    """Write the layers, whose arrays are canonical, and return the names of the arrays in it.

    Parameters
    ----------
    path, target : Path
        Where it is written, and how it will be called.
    layers : sequence of LocalLayer
        One graph of all: inputs and outputs are ``x`` and ``y``, or of several layers ``NAME.x`` and ``NAME.y``.
    produce : callable
        Name of an array -> the array.
    """
    try:
        import onnx  # noqa: PLC0415  an extra
    except ImportError as error:
        raise problem(target, "library", "no module onnx", "it, to write ONNX", "install lcl-ref[onnx]") from error
    if any(layer.layout != "canonical" for layer in layers):
        raise problem(target, "format", "layers in another layout", "--to canonical in an .onnx file")
    parts = [_Graph(onnx, layer, f"{layer.name}." if len(layers) > 1 else "", target, produce) for layer in layers]
    graph = onnx.helper.make_graph(
        [node for part in parts for node in part.nodes],
        "locally connected layers",
        [part.value("x", part.layer.spec.x_shape) for part in parts],
        [part.value("y", part.layer.spec.y_shape) for part in parts],
        [array for part in parts for array in part.arrays],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return [name for layer in layers for name in (layer.weight, layer.bias) if name]


class _Graph:
    """The operations and arrays of one layer."""

    def __init__(self, onnx: Any, layer: LocalLayer, prefix: str, target: Path, produce: Produce) -> None:
        self.layer, self.nodes, self.arrays = layer, list[Any](), list[Any]()
        self._onnx, self._prefix = onnx, prefix
        weight = produce(layer.weight)
        self.dtype = weight.dtype
        if str(self.dtype) not in DTYPES:
            raise problem(target, "dtype", f"array {layer.weight!r} of dtype {self.dtype}", ", ".join(DTYPES))
        y = self._product(self._windows(), self._weights(self._array(layer.weight, weight)))
        spec = layer.spec
        outputs = self._reshaped(y, [-1, *spec.output_size, spec.out_channels], "" if spec.bias != "none" else "y")
        if spec.bias != "none":
            self._node("Add", [outputs, self._array(layer.bias, produce(layer.bias))], name="y")

    def value(self, name: str, shape: Any) -> Any:
        """Return an input or output, any batch."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        return self._onnx.helper.make_tensor_value_info(f"{self._prefix}{name}", kind, ["batch", *shape(1)[1:]])

    def _node(self, op: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        result = f"{self._prefix}{name or len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(op, inputs, [result], **attributes))
        return result

    def _array(self, name: str, array: Array) -> str:
        self.arrays.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _numbers(self, values: Sequence[int]) -> str:
        return self._array(f"{self._prefix}shape {len(self.arrays)}", np.array(values, np.int64))

    def _reshaped(self, value: str, shape: Sequence[int], name: str = "") -> str:
        return self._node("Reshape", [value, self._numbers(shape)], name)

    def _groups(self) -> tuple[int, int]:
        """Return groups and channels of one; a connection table is a group per output."""
        spec = self.layer.spec
        return (spec.out_channels if spec.channel_table else spec.groups), spec.group_channels

    def _windows(self) -> str:
        """Return ``(o*, g, n, taps * cg)``."""
        spec, rank = self.layer.spec, self.layer.spec.rank
        x = f"{self._prefix}x"
        if spec.channel_table:
            table = self._numbers(list(itertools.chain.from_iterable(spec.channel_table)))
            x = self._node("Gather", [x, table], axis=rank + 1)
        if any(map(any, spec.padding)):
            lo, hi = ([0, *(pair[side] for pair in spec.padding), 0] for side in (0, 1))
            x = self._node("Pad", [x, self._numbers([*lo, *hi])], mode="constant")
        taps = [self._tap(x, spec, tap) for tap in np.ndindex(*spec.kernel_size)]
        groups, channels = self._groups()
        stacked = self._node("Concat", taps, axis=rank + 1)
        split = self._reshaped(stacked, [-1, *spec.output_size, len(taps), groups, channels])
        order = [*range(1, rank + 1), rank + 2, 0, rank + 1, rank + 3]
        moved = self._node("Transpose", [split], perm=order)
        return self._reshaped(moved, [*spec.output_size, groups, -1, len(taps) * channels])

    def _tap(self, x: str, spec: Spec, tap: Sequence[int]) -> str:
        """Return what one tap of all windows sees, ``(n, o*, 1, ci)``."""
        if spec.rank:
            starts = [k * spread for k, spread in zip(tap, spec.dilation, strict=True)]
            ends = [s + (n - 1) * d + 1 for s, n, d in zip(starts, spec.output_size, spec.stride, strict=True)]
            axes = list(range(1, spec.rank + 1))
            x = self._node("Slice", [x, *map(self._numbers, (starts, ends, axes, spec.stride))])
        return self._node("Unsqueeze", [x, self._numbers([spec.rank + 1])])

    def _weights(self, weight: str) -> str:
        """Return ``(o*, g, taps * cg, p)``, with positions of 1 along shared axes."""
        spec = self.layer.spec
        rank, (groups, channels) = spec.rank, self._groups()
        flat = math.prod(spec.kernel_size) * channels
        split = self._reshaped(weight, [*spec.weight_size, flat, groups, spec.out_channels // groups])
        return self._node("Transpose", [split], perm=[*range(rank), rank + 1, rank, rank + 2])

    def _product(self, windows: str, weights: str) -> str:
        """Return ``(n, o*, g, p)``."""
        rank = self.layer.spec.rank
        product = self._node("MatMul", [windows, weights])
        return self._node("Transpose", [product], perm=[rank + 1, *range(rank), rank, rank + 2])
