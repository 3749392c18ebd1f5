"""One known input and output of a layer: they tell which reading of its arrays is right, and prove it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lcl_ref import layouts
from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.untrusted import problem, reading
from lcl_ref.layouts.own import is_own, other_readings
from lcl_ref.layouts.registry import get


def check(old: WeightFile, layers: Sequence[LocalLayer], known: tuple[Path, Path] | None) -> None:
    """Refuse a pattern that the shape of the arrays leaves open, or that a known input and output refute.

    Parameters
    ----------
    old : WeightFile
        The open file.
    layers : sequence of LocalLayer
        The layers to be converted.
    known : pair of Path or None
        ``.npy`` files of one layer's input and output, channels last or first.

    Raises
    ------
    LayoutError
        If there is another reading, and nothing to tell by; or this one is wrong.
    """
    if known is not None and len(layers) != 1:
        raise problem(old.path, "check", f"{len(layers)} layers", "one layer to check", "name it with --layer")
    for layer in layers:
        others = other_readings(get(layer.layout), layer.spec) if is_own(layer.layout) else []
        if known is not None:
            _prove(old, layer, others, [_array(path) for path in known])
        elif others:
            got = f"shape {old.tensors[layer.weight].shape}, which is that of '{layer.layout}'"
            todo = "prove which it is with --check X.npy Y.npy, one input of the layer and its output"
            other = " or of ".join(f"'{reading}'" for reading in others)
            raise LayoutError(
                Violation("layout/ambiguous", layer.weight, f"{got} and of {other}", "one reading", todo=todo)
            )


def _array(path: Path) -> Array:
    with reading(path, "a .npy array"):
        array: Array = np.load(path, allow_pickle=False)
        return array


def _prove(old: WeightFile, layer: LocalLayer, others: Sequence[str], known: Sequence[Array]) -> None:
    if _computes(old, layer, layer.layout, *known):
        return
    right = [name for name in others if _computes(old, layer, name, *known)]
    todo = f"write --from '{right[0]}', which computes it" if right else ""
    got = f"other numbers than the known output, read as {layer.layout}"
    raise LayoutError(Violation("layout/refuted", layer.name, got, "the known output", todo=todo))


def _computes(old: WeightFile, layer: LocalLayer, name: str, x: Array, y: Array) -> bool:
    """Return whether the layer, its arrays read in layout `name`, takes x to y within the limit of rounding."""
    stored = [old.tensors[part].read() if part else None for part in (layer.weight, layer.bias)]
    weight, bias = layouts.convert(layer.spec, *stored, source=name, target="canonical")  # type: ignore[arg-type]
    return any(_within(layer.spec, *sides, weight, bias) for sides in _last(layer.spec, x, y))


def _last(spec: Spec, x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Return input and output with channels last, in each way that their shapes allow."""
    found = []
    for place in {-1, 1} if spec.rank else {-1}:
        sides = np.moveaxis(x, place, -1), np.moveaxis(y, place, -1)
        if sides[0].shape == spec.x_shape(len(x)) and sides[1].shape == spec.y_shape(len(x)):
            found.append(sides)
    if not found:
        got, want = f"x {x.shape}, y {y.shape}", f"x {spec.x_shape(1)}, y {spec.y_shape(1)}, or channels first"
        raise LayoutError(Violation("check/shape", "--check", got, f"{want}, any batch"))
    return found


def _within(spec: Spec, x: Array, y: Array, weight: Array, bias: Array | None) -> bool:
    """Compare in double precision: as many roundings of y's type as an output has terms, whatever their order."""
    wide = [None if array is None else np.asarray(array, np.float64) for array in (x, weight, bias)]
    size = [None if array is None else np.abs(array) for array in wide]
    right, most = (batched.forward(spec, *given) for given in (wide, size))
    unit = np.finfo(y.dtype).eps if y.dtype.kind == "f" else 0.0
    return bool(np.all(np.abs(right - y) <= (spec.fan_in + 1) * unit * most))
