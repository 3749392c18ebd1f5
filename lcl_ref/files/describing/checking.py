"""Known inputs and outputs of a layer: they tell which reading of its arrays is right, and prove it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lcl_ref import layouts
from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.opening import open_weights
from lcl_ref.files.untrusted import problem, reading
from lcl_ref.layouts.own import is_own, other_readings
from lcl_ref.layouts.registry import get

Known = tuple[Path, Path] | Sequence[tuple[Array, Array]]
"""Files of an input and its output, or such arrays: of several pairs, one is in the layer's own order of axes."""


def check(old: WeightFile, layers: Sequence[LocalLayer], known: Known | None) -> None:
    """Refuse a pattern that the shape of the arrays leaves open, or that known inputs and outputs refute.

    Parameters
    ----------
    old : WeightFile
        The open file.
    layers : sequence of LocalLayer
        The layers to be converted.
    known : Known or None
        Of one layer, channels last or first.

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
            _prove(old, layer, others, _pairs(known))
        elif others:
            got = f"shape {old.tensors[layer.weight].shape}, which is that of '{layer.layout}'"
            todo = "prove which it is with --check X.npy Y.npy, one input of the layer and its output"
            todo += ", or with --check-code LAYER.py:CLASS, its code"
            other = " or of ".join(f"'{reading}'" for reading in others)
            raise LayoutError(
                Violation("layout/ambiguous", layer.weight, f"{got} and of {other}", "one reading", todo=todo)
            )


def layout_that_computes(path: Path, spec: Path | None, name: str, known: Known) -> str:
    """Return the layout of the catalogue in which the arrays of a described layer give the known outputs.

    Raises
    ------
    LayoutError
        If there is none, or the known outputs fit several that hold other numbers.
    """
    with open_weights(path, spec, name, "canonical") as file:
        chosen = file.called(name) if name else file.layers
        if len(chosen) != 1:
            raise problem(path, "check", f"{len(chosen)} layers", "one layer to check", "describe it with --spec")
        layer, names = chosen[0], _fitting(file, chosen[0])
        right = [one for one in names if _computes(file, layer, one, _pairs(known))]
        if not right:
            tried = ", ".join(names) or "no layout"
            got = f"other numbers than the known output, in every layout that its shape fits ({tried})"
            todo = "write the layout as a pattern: --from 'o* (k* ci) co', for example"
            raise LayoutError(Violation("layout/refuted", layer.name, got, "the known output", todo=todo))
        _check_told(file, layer, right)
        return right[0]


def _fitting(file: WeightFile, layer: LocalLayer) -> list[str]:
    """Return the layouts that both arrays of a layer fit."""
    bias = file.tensors[layer.bias].shape if layer.bias else None
    names = layouts.fitting(layer.spec, file.tensors[layer.weight].shape)
    return [name for name in names if layouts.bias_shape(name, layer.spec) == bias]


def _pairs(known: Known) -> list[tuple[Array, Array]]:
    first, *_ = known
    if isinstance(first, Path):
        x, y = (_array(path) for path in known if isinstance(path, Path))
        return [(x, y)]
    return [pair for pair in known if isinstance(pair, tuple)]


def _array(path: Path) -> Array:
    with reading(path, "a .npy array"):
        array: Array = np.load(path, allow_pickle=False)
        return array


def _prove(old: WeightFile, layer: LocalLayer, others: Sequence[str], known: Sequence[tuple[Array, Array]]) -> None:
    if _computes(old, layer, layer.layout, known):
        _check_told(old, layer, [layer.layout, *(name for name in others if _computes(old, layer, name, known))])
        return
    tried = others or [name for name in _fitting(old, layer) if name != layer.layout]
    right = [name for name in tried if _computes(old, layer, name, known)]
    todo = f"write --from '{right[0]}', which computes it" if right else ""
    got = f"other numbers than the known output, read as {layer.layout}"
    raise LayoutError(Violation("layout/refuted", layer.name, got, "the known output", todo=todo))


def _check_told(old: WeightFile, layer: LocalLayer, names: Sequence[str]) -> None:
    """Refuse readings that give the known output alike, and are other weights: nothing was proved."""
    held = [_canonical(old, layer, name)[0] for name in names]
    differ = [name for name, weight in zip(names, held, strict=True) if not np.array_equal(weight, held[0])]
    if differ:
        got = f"an output that {names[0]} and {differ[0]} give alike, with other weights"
        todo = "take an input of several samples, without zeros"
        raise LayoutError(Violation("layout/untold", layer.name, got, "an output that tells them apart", todo=todo))


def _canonical(old: WeightFile, layer: LocalLayer, name: str) -> tuple[Array, Array | None]:
    stored = [old.tensors[part].read() if part else None for part in (layer.weight, layer.bias)]
    return layouts.convert(layer.spec, *stored, source=name, target="canonical")  # type: ignore[arg-type]


def _computes(old: WeightFile, layer: LocalLayer, name: str, known: Sequence[tuple[Array, Array]]) -> bool:
    """Return whether the layer, its arrays read in layout `name`, takes x to y within the limit of rounding."""
    weight, bias = _canonical(old, layer, name)
    every = [sides for x, y in known for sides in _last(layer.spec, x, y)]
    if not every:
        x, y = known[0]
        want = f"x {layer.spec.x_shape(1)}, y {layer.spec.y_shape(1)}, or channels first"
        raise LayoutError(Violation("check/shape", "--check", f"x {x.shape}, y {y.shape}", f"{want}, any batch"))
    return any(_within(layer.spec, *sides, weight, bias) for sides in every)


def _last(spec: Spec, x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Return input and output with channels last, in each way that their shapes allow."""
    found = []
    for place in {-1, 1} if spec.rank and min(x.ndim, y.ndim) > 1 else {-1}:
        sides = np.moveaxis(x, place, -1), np.moveaxis(y, place, -1)
        if sides[0].shape == spec.x_shape(len(x)) and sides[1].shape == spec.y_shape(len(x)):
            found.append(sides)
    return found


def _within(spec: Spec, x: Array, y: Array, weight: Array, bias: Array | None) -> bool:
    """Compare in double precision: as many roundings of y's type as an output has terms, whatever their order."""
    wide = [None if array is None else np.asarray(array, np.float64) for array in (x, weight, bias)]
    size = [None if array is None else np.abs(array) for array in wide]
    right, most = (batched.forward(spec, *given) for given in (wide, size))
    unit = np.finfo(y.dtype).eps if y.dtype.kind == "f" else 0.0
    return bool(np.all(np.abs(right - y) <= (spec.fan_in + 1) * unit * most))
