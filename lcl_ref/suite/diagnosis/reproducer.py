"""A program of a few lines that shows a failure with nothing but NumPy and the layer itself."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref import api
from lcl_ref.core.spec import Spec
from lcl_ref.suite.adapter import OPERATIONS, RESULTS, Adapter
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.user_layer import FunctionLayer

DERIVED = ("rank", "output_size", "weight_size", "weight_shape", "bias_shape", "group_channels", "fan_in")
"""Properties of `Spec` a layer may ask for, written out as plain values."""

STEPS = {"x": 7, "weight": 5, "dy": 3, "bias": 4}
"""The operands are ``arange * step % 11 - 5``: small integers, so that a right answer is exact."""


@dataclass(frozen=True)
class Invocation:
    """How a program calls a layer.

    Parameters
    ----------
    imports : str
        Lines that import it as ``layer``.
    prepared : bool
        Whether it is called through ``prepare``.
    with_spec : bool
        Whether it needs `lcl_ref.Spec` itself, as registered adapters do.
    """

    imports: str
    prepared: bool
    with_spec: bool

    def call(self, op: str) -> str:
        """Return the call of an operation as an expression."""
        if self.prepared:
            layer = "layer.prepare(spec, weight, bias, dtype)"
            return {"forward": f"{layer}.forward(x)", "vjp": f"{layer}.vjp(x, dy)"}.get(op, f"{layer}.transpose(dy)")
        return {
            "forward": "layer.forward(spec, x, weight, bias)",
            "vjp": "layer.vjp(spec, x, weight, bias, dy)",
            "transpose": "layer.transpose(spec, dy, weight)",
        }[op]


def invocation(ref: BackendRef, adapter: Adapter) -> Invocation | None:
    """Return how a program calls a backend that is loaded in this process, or None where no Python program can."""
    if ref.kind == "registered":
        module, _, attribute = ref.attribute.partition(":")
        lines = [f"import {module}", f"layer = {module}.{attribute}()"]
        return Invocation("\n".join(lines), prepared=True, with_spec=True)
    if ref.kind == "exec":
        return None
    name = Path(ref.target).stem if ref.kind == "file" else ref.target
    found = [f"import sys; sys.path.insert(0, {str(Path(ref.target).parent)!r})"] if ref.kind == "file" else []
    lines = [*found, f"import {name} as layer"]
    thing: Any = sys.modules.get(f"_layer_{name}") or sys.modules[name]  # see `loading._module_name`
    if ref.attribute:
        thing = operator.attrgetter(ref.attribute)(thing)
        lines.append(f"layer = layer.{ref.attribute}" + ("()" if isinstance(thing, type) else ""))
    if isinstance(getattr(adapter, "layer", None), FunctionLayer):
        lines.append("layer = SimpleNamespace(forward=layer)")
    return Invocation("\n".join(lines), prepared=hasattr(thing, "prepare"), with_spec=False)


def operands(spec: Spec, batch: int, dtype: str) -> dict[str, NDArray[Any]]:
    """Return the operands the program makes."""
    return {
        name: (np.arange(math.prod(shape)) * STEPS[name] % 11 - 5.0).reshape(shape).astype(FORMATS[dtype].dtype)
        for name, shape in spec.operand_shapes(batch).items()
    }


def shows(adapter: Adapter, spec: Spec, batch: int, op: str, dtype: str) -> bool:
    """Return whether the program would find the layer wrong."""
    given = operands(spec, batch, dtype)
    want = _right(spec, given, op)
    try:
        layer = adapter.prepare(spec, given["weight"].copy(), given.get("bias"), dtype)
        got = answers_of(layer, op, {name: array.copy() for name, array in given.items()})
    except Exception:  # noqa: BLE001 -- an error is shown too, as a traceback
        return True
    return any(not np.array_equal(got[name], array) for name, array in want.items())


def _right(spec: Spec, given: Mapping[str, NDArray[Any]], op: str) -> dict[str, NDArray[Any]]:
    x, weight, dy, bias = given["x"], given["weight"], given["dy"], given.get("bias")
    answers = (api.forward(spec, x, weight, bias), *api.vjp(spec, x, weight, bias, dy))
    right = dict(zip(RESULTS, answers, strict=True))
    return {name: array for name in OPERATIONS[op].results if (array := right[name]) is not None}


def reproducer(how: Invocation, spec: Spec, batch: int, op: str, dtype: str) -> str:
    """Return a program that computes one operation by plain loops, asks the layer, and prints where they differ."""
    lines = ["import numpy as np", "from types import SimpleNamespace", how.imports, *_specification(how, spec, dtype)]
    return "\n".join([*lines, *_operands(spec, batch, op), *_loops(spec, batch, op), *_verdict(how, spec, op), ""])


def _specification(how: Invocation, spec: Spec, dtype: str) -> list[str]:
    if how.with_spec:
        return ["import lcl_ref", f"dtype, spec = {dtype!r}, lcl_ref.Spec.from_json({spec.to_json()!r})"]
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    values |= {name: getattr(spec, name) for name in DERIVED} | {"channels": spec.channels.tolist()}
    words = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return [f"dtype, spec = {dtype!r}, SimpleNamespace({words})"]


def _operands(spec: Spec, batch: int, op: str) -> list[str]:
    needed = {*OPERATIONS[op].operands, "bias"}  # every layer is prepared with its bias
    lines = [
        f"{name} = (np.arange({math.prod(shape)}) * {STEPS[name]} % 11 - 5.0).reshape({shape}).astype(dtype)"
        for name, shape in spec.operand_shapes(batch).items()
        if name in needed
    ]
    return lines if spec.bias_shape else [*lines, "bias = None"]


def _loops(spec: Spec, batch: int, op: str) -> list[str]:
    """Return the layer as SPEC.md defines it, one connection at a time; what the layer does not have is left out."""
    grouped = spec.groups > 1 or spec.channel_table is not None
    tied, padded = any(spec.shared), any(map(any, spec.padding))
    w = "weight[(*q, *k)]" if tied else "weight[(*o, *k)]"
    start = {
        "forward": f"y = np.zeros({spec.y_shape(batch)}, dtype)" + (" + bias" if spec.bias_shape else ""),
        "transpose": f"dx = np.zeros({spec.x_shape(batch)}, dtype)",
    }
    lines = [
        start.get(op, "dx, dw = 0 * x, 0 * weight"),
        "for o, k in ((o, k) for o in np.ndindex(spec.output_size) for k in np.ndindex(spec.kernel_size)):",
        "    i = [a*s + t*d - lo for a, s, t, d, (lo, _) in zip(o, spec.stride, k, spec.dilation, spec.padding)]",
    ]
    if tied:
        lines.append("    q = [0 if shared else a for a, shared in zip(o, spec.shared)]")
    if padded:
        lines += ["    if not all(0 <= a < size for a, size in zip(i, spec.input_size)):", "        continue"]
    lines.append("    xi, yo = (slice(None), *i), (slice(None), *o)")
    body = _grouped(w, op) if grouped else _dense(w, op)
    if grouped:
        lines.append("    for f, row in enumerate(spec.channels):")
    return lines + [f"{'        ' if grouped else '    '}{line}" for line in body]


def _dense(w: str, op: str) -> list[str]:
    dx, dw = f"dx[xi] += dy[yo] @ {w}.T", f"d{w.replace('weight', 'w')} += x[xi].T @ dy[yo]"
    return {"forward": [f"y[yo] += x[xi] @ {w}"], "transpose": [dx]}.get(op, [dx, dw])


def _grouped(w: str, op: str) -> list[str]:
    dx = f"dx[xi][:, row] += dy[yo][:, f, None] * {w}[:, f]"
    dw = f"d{w.replace('weight', 'w')}[:, f] += dy[yo][:, f] @ x[xi][:, row]"
    return {"forward": [f"y[yo][:, f] += x[xi][:, row] @ {w}[:, f]"], "transpose": [dx]}.get(op, [dx, dw])


def _verdict(how: Invocation, spec: Spec, op: str) -> list[str]:
    names = [name for name in OPERATIONS[op].results if name != "db" or spec.bias_shape]
    sums = {"position": "db = dy.sum(axis=0)", "channel": "db = dy.reshape(-1, dy.shape[-1]).sum(axis=0)"}
    answer = how.call(op) if op == "vjp" else f"[{how.call(op)}]"
    return [
        *([sums[spec.bias]] if "db" in names else []),
        f"for name, want, got in zip({names!r}, [{', '.join(names)}], {answer}):",
        "    got = np.asarray(got.detach() if hasattr(got, 'detach') else got)",
        "    same = got.shape == want.shape",
        "    where = np.argwhere(got != want)[:3].tolist() if same else f'shape {got.shape}, not {want.shape}'",
        "    print(name, f'differs: {where}' if where else 'is right')",
    ]
