"""What arrays without a description could be: the layouts whose axes fit, and a description to be completed.

Shapes alone never tell a layer; they tell how many positions and channels it has if it is stored in one layout or
another. Numbers that do not follow from the shapes are null in the description, and a null is refused when it is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcl_ref.core.axes import spatial_names
from lcl_ref.files import specs
from lcl_ref.files.contents import Tensor, WeightFile
from lcl_ref.files.describing.owners import BIASES, WEIGHTS, by_owner
from lcl_ref.layouts import LAYOUTS, Layout
from lcl_ref.layouts.pattern import parse


@dataclass(frozen=True)
class Candidate:
    """Arrays that may be those of a locally connected layer.

    Parameters
    ----------
    name : str
        What its arrays have in common in their names.
    weight, bias : str
        Its arrays; `bias` may be empty.
    readings : mapping of str to (int, mapping)
        Layout -> rank of the layer, and lengths of its axes (``oy``, ``kx``, ``cg``, ``co``, ...) that the shapes tell.
    """

    name: str
    weight: str
    bias: str
    readings: Mapping[str, tuple[int, Mapping[str, int]]]


def candidates(file: WeightFile) -> list[Candidate]:
    """Return the arrays that fit some layout, with all layouts that they fit."""
    biases = by_owner(file.tensors, BIASES)
    found: list[Candidate] = []
    for owner, names in by_owner(file.tensors, WEIGHTS).items():
        bias = biases.get(owner, [])
        if len(names) == 1 and len(bias) < 2:
            weight, offset = file.tensors[names[0]], file.tensors[bias[0]] if bias else None
            readings = _readings(weight, offset)
            if readings:
                short = owner.rpartition("/")[2] or "layer"
                name = owner if any(one.name == short for one in found) else short
                found.append(Candidate(name, weight.name, offset.name if offset else "", readings))
    return found


def _readings(weight: Tensor, bias: Tensor | None) -> dict[str, tuple[int, Mapping[str, int]]]:
    spread = bias is not None and sum(size > 1 for size in bias.shape) > 1
    if len(weight.shape) < 3 or (bias is not None and not spread and len(weight.shape) < 5):
        return {}  # a dense layer or a convolution
    found: dict[str, tuple[int, Mapping[str, int]]] = {}
    for layout in LAYOUTS.values():
        for rank in layout.ranks:
            lengths = _lengths(layout, rank, weight, bias)
            if lengths is not None:
                found.setdefault(layout.name, (rank, lengths))
    return found


def _lengths(layout: Layout, rank: int, weight: Tensor, bias: Tensor | None) -> dict[str, int] | None:
    """Return the axes' lengths in one layout, or None where it does not fit."""
    if layout.form == "live" or not any(name[0] == "o" for axis in parse(layout.weight, rank) for name in axis):
        return None
    patterns = [layout.bias_reported] if layout.bias_reported else list(layout.bias.values())
    fits = [pattern for pattern in patterns if bias is not None and len(parse(pattern, rank)) == len(bias.shape)]
    if len(parse(layout.weight, rank)) != len(weight.shape) or (bias is not None and not fits):
        return None
    axes = [*_axes(layout.weight, rank, weight.shape)]
    if bias is not None:
        axes += _axes(fits[0], rank, bias.shape)
    return _solved(axes)


def _axes(pattern: str, rank: int, shape: Sequence[int]) -> list[tuple[list[str], int]]:
    """Return the names that each stored axis holds, with its length; there is one group, and ``co`` are its outputs."""
    axes = parse(pattern, rank)
    split = any("p" in axis for axis in axes)
    named = [["co" if name in "gp" else name for name in axis if name != "g" or not split] for axis in axes]
    return list(zip(named, shape, strict=True))


def _solved(axes: list[tuple[list[str], int]]) -> dict[str, int] | None:
    """Return the lengths that follow: an axis of several names tells one of them where the others are known."""
    known: dict[str, int] = {}
    for _ in range(len(axes)):
        for names, size in axes:
            unknown = [name for name in names if name not in known]
            rest = math.prod(known[name] for name in names if name in known)
            if size % max(rest, 1) or (not unknown and size != rest):
                return None
            if len(unknown) == 1:
                known[unknown[0]] = size // max(rest, 1)
    positions = [size for name, size in known.items() if name[0] == "o"]
    return known if not positions or max(positions) > 1 else None


def skeleton(file: WeightFile, found: Sequence[Candidate]) -> str:
    """Return a description of the layers, as `lcl_ref.files.specs` reads it once its nulls are numbers."""
    layers = [_described(one) for one in found]
    return json.dumps({"format": specs.FORMAT, "file": file.path.name, "layers": layers}, indent=1)


def _described(found: Candidate) -> dict[str, Any]:
    layout = _likely(found)
    rank, lengths = found.readings[layout]
    axes = spatial_names(rank)
    output, kernel = ([lengths.get(f"{kind}{axis}") for axis in axes] for kind in "ok")
    spec = {
        "input_size": [lengths.get(f"i{axis}") for axis in axes],
        "in_channels": lengths.get("cg"),
        "out_channels": lengths.get("co"),
        "kernel_size": kernel,
        "stride": [1] * len(axes),
        "padding": "valid",
        "bias": "position" if found.bias else "none",
    }
    return {
        "name": found.name,
        "layout": layout,
        "layouts_that_fit": list(found.readings),
        "output_size": output,
        "weight": found.weight,
        "bias": found.bias or None,
        "spec": spec,
    }


def _likely(found: Candidate) -> str:
    """Return the layout whose project names arrays so; a guess that the reader of the description has to confirm."""
    leaf = found.weight.removesuffix(":0").replace("/", ".").rpartition(".")[2]
    by_name = {"kernel": ("keras2/", "flax/", "neurite/"), "weight": ("torch/", "torch7/"), "W": ("keras1/", "lasagne")}
    names = sorted(found.readings, key=lambda name: not name.startswith(by_name.get(leaf, ())))
    return names[0]
