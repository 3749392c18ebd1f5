"""A case in words: its shapes, one output element worked out, and which inputs each position sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.axes import axis_names, spatial_names
from lcl_ref.core.geometry import input_site, output_arithmetic, weight_position
from lcl_ref.core.spec import Spec
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.formats import from_parts

Arrays = Mapping[str, NDArray[Any]]

SHOWN_TERMS = 12


def describe(case: Case, arrays: Arrays) -> str:
    """Return the whole explanation as text; `arrays` are the stored ones of the case."""
    spec, named = case.spec, plain(case, arrays)
    parts = [
        f"{case.id} ({case.values})\n{case.why}\nSPEC {', '.join(case.clauses)}\n{spec.to_json()}",
        _shapes(spec, case.batch),
        _worked_element(spec, case.batch, named),
        *(_picture(spec, axis) for axis in range(spec.rank)),
        _channels(spec),
    ]
    return "\n\n".join(parts) + "\n"


def plain(case: Case, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays of a case by their plain names: those of float32 where it has several, parts put together."""
    variant = "float32/" if case.values == "rounded" else ""
    named = {name.removeprefix(variant): array for name, array in arrays.items() if name.startswith(variant)}
    return {name: from_parts(array) for name, array in named.items()} if case.values == "complex" else named


def _shapes(spec: Spec, batch: int) -> str:
    shapes = spec.operand_shapes(batch) | {"y": spec.y_shape(batch)}
    axes = {"bias": f"bias/{spec.bias}"}
    lines = [
        _shape_line(name, axis_names(axes.get(name, name), spec.rank), shapes[name])
        for name in ("x", "weight", "bias", "y")
        if name in shapes
    ]
    lines += [
        f"  output axis {name}: {output_arithmetic(spec, axis)}" for axis, name in enumerate(spatial_names(spec.rank))
    ]
    lines.append(f"  {spec.parameter_count} parameters, {spec.connection_count} connections, fan-in {spec.fan_in}")
    return "shapes\n" + "\n".join(lines)


def _shape_line(name: str, axes: Sequence[str], shape: Sequence[int]) -> str:
    return f"  {name}: " + ", ".join(f"{axis}={size}" for axis, size in zip(axes, shape, strict=True))


def _worked_element(spec: Spec, batch: int, arrays: Arrays) -> str:
    """Return one output element in the middle of the output as the sum it is."""
    if batch == 0:
        return "worked element: none, the batch is empty"
    position = tuple(size // 2 for size in spec.output_size)
    f = spec.out_channels - 1
    terms = []
    for tap in np.ndindex(spec.kernel_size):
        site = input_site(spec, position, tap)
        if site is None:
            terms.append(f"(tap {tap} is in the padding)")
            continue
        for c, channel in enumerate(spec.channels[f]):
            left = arrays["x"][0, *site, channel]
            right = arrays["weight"][*weight_position(spec, position), *tap, c, f]
            terms.append(f"x[0, {_index(site)}{channel}]*w[{_index(position)}{_index(tap)}{c}, {f}] = {left}*{right}")
    if "bias" in arrays:
        bias = arrays["bias"][*position, f] if spec.bias == "position" else arrays["bias"][f]
        terms.append(f"bias = {bias}")
    hidden = len(terms) - SHOWN_TERMS
    shown = [*terms[:SHOWN_TERMS], *([f"(+{hidden} more terms)"] if hidden > 0 else [])]
    result = arrays["y"][0, *position, f]
    return f"worked element y[0, {_index(position)}{f}]\n  + " + "\n  + ".join(shown) + f"\n  = {result}"


def _index(sites: Sequence[int]) -> str:
    return "".join(f"{site}, " for site in sites)


def _picture(spec: Spec, axis: int) -> str:
    """Return one line per position: ``#`` input sites it reads, ``o`` padding it reads, ``.`` the rest."""
    lo, hi = spec.padding[axis]
    size, name = spec.input_size[axis], spatial_names(spec.rank)[axis]
    lines = []
    for position in range(spec.output_size[axis]):
        read = {position * spec.stride[axis] + tap * spec.dilation[axis] - lo for tap in range(spec.kernel_size[axis])}
        marks = "".join(_mark(site, size, site in read) for site in range(-lo, size + hi))
        lines.append(f"  o{name}={position:<3} {marks}")
    note = " (all positions share one weight)" if spec.shared[axis] else ""
    return f"axis {name}: '#' reads input, 'o' reads padding{note}\n" + "\n".join(lines)


def _mark(site: int, size: int, read: bool) -> str:
    inside = 0 <= site < size
    return ("#" if inside else "o") if read else ("." if inside else " ")


def _channels(spec: Spec) -> str:
    rows = [f"  co={f:<3} reads ci {', '.join(map(str, row))}" for f, row in enumerate(spec.channels.tolist())]
    return "channels\n" + "\n".join(rows)
