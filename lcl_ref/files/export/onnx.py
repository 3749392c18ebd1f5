"""ONNX: each layer as a graph of standard operations, with its canonical arrays as initialisers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.files.contents import Array, LocalLayer
from lcl_ref.files.export import graph
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
    whole = onnx.helper.make_graph(
        [node for part in parts for node in part.nodes],
        "locally connected layers",
        [part.value("x", part.layer.spec.x_shape) for part in parts],
        [part.value("y", part.layer.spec.y_shape) for part in parts],
        [array for part in parts for array in part.arrays],
    )
    model = onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
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
        held = self._array(layer.weight, weight)
        bias = self._array(layer.bias, produce(layer.bias)) if layer.bias else None
        self._node("Identity", [graph.answer(self, layer.spec, f"{prefix}x", held, bias)], name="y")

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

    def gather(self, x: str, table: Sequence[int], axis: int) -> str:
        """As all below, one of `graph.Operations`."""
        return self._node("Gather", [x, self._numbers(table)], axis=axis)

    def pad(self, x: str, pairs: Sequence[Sequence[int]]) -> str:
        """Return x with zeros around."""
        return self._node("Pad", [x, self._numbers([pair[side] for side in (0, 1) for pair in pairs])], mode="constant")

    def slices(self, x: str, parts: Sequence[slice]) -> str:
        """Return a part; of rank 0 there is none to take."""
        lists = [[one.start for one in parts], [one.stop for one in parts]]
        lists += [list(range(1, len(parts) + 1)), [one.step for one in parts]]
        return self._node("Slice", [x, *map(self._numbers, lists)]) if parts else x

    def concatenate(self, parts: Sequence[str], axis: int) -> str:
        """Return arrays behind each other."""
        return self._node("Concat", list(parts), axis=axis)

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Return x in another shape."""
        return self._node("Reshape", [x, self._numbers(shape)])

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Return x with its axes in another order."""
        return self._node("Transpose", [x], perm=list(order))

    def product(self, left: str, right: str) -> str:
        """Return products of matrices."""
        return self._node("MatMul", [left, right])

    def add(self, left: str, right: str) -> str:
        """Return a sum."""
        return self._node("Add", [left, right])
