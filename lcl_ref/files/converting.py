"""`convert_file`: the weights of a file in another layout, layer by layer, everything else carried along untouched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lcl_ref import layouts
from lcl_ref.core.spec import Spec
from lcl_ref.errors import LayoutError, Violation
from lcl_ref.files import specs, targets
from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.describing import checking
from lcl_ref.files.opening import open_weights
from lcl_ref.files.untrusted import about, problem
from lcl_ref.files.writing import Planned, replacing
from lcl_ref.layouts import biases, checks
from lcl_ref.layouts.registry import get
from lcl_ref.outside.writing import check_target

STORED = "stored"
"""As a source: every layer is in the layout that the file itself states."""


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    Parameters
    ----------
    layers : tuple of LocalLayer
        The converted layers, as they are now.
    carried : tuple of str
        Arrays carried along untouched.
    left : tuple of str
        What was left out.
    loses : tuple of str
        What did not survive, one line per layer concerned.
    notes : tuple of str
        What a reader should know about the file.
    """

    layers: tuple[LocalLayer, ...]
    carried: tuple[str, ...]
    left: tuple[str, ...]
    loses: tuple[str, ...]
    notes: tuple[str, ...]


def convert_file(
    old_path: Path,
    new_path: Path,
    *,
    source: str,
    target: str,
    spec: Path | None = None,
    layer: str = "",
    known: checking.Known | None = None,
) -> Report:
    """Convert the locally connected layers of a weight file to another layout.

    Parameters
    ----------
    old_path, new_path : Path
        Files; the suffix of the new one tells its format, and its specification is written beside it (`specs.beside`).
    source : str
        Layout of the layers in the old file; ``"stored"``: the one that the file itself states.
    target : str
        Layout of the layers in the new file.
    spec : Path, optional
        See `open_weights`.
    layer : str
        Name of the one layer to convert; without it, all.
    known : pair of Path, or pairs of array, optional
        ``.npy`` files of an input of the layer and its output, or such arrays, one pair of which must agree: the layout
        of the old file is proved by them first.

    Raises
    ------
    FileError
        If the file is missing, damaged, or cannot be written in the new format.
    LayoutError
        If a layout is unknown, is not that of the file, or cannot hold a layer.
    """
    get(target)
    if source != STORED:
        get(source)
    read = [one for one in (old_path, spec, *(known or ())) if isinstance(one, Path)]
    check_target(new_path, specs.beside(new_path), read=read)
    with open_weights(old_path, spec, layer, "" if source == STORED else source) as old:
        chosen = _choose(old, layer, source)
        checking.check(old, chosen, known)
        report, plan = _plan(old, chosen, target)
        names = targets.new_names(new_path, old, report.layers)
        plan = [replace(array, name=names.get(array.name, array.name)) for array in plan]
        renamed = (
            replace(one, weight=names.get(one.weight, one.weight), bias=names.get(one.bias, one.bias))
            for one in report.layers
        )
        report = replace(report, layers=tuple(renamed))
        beside = specs.beside(new_path)
        with replacing(new_path, beside) as (file, document):
            left = targets.write(file, new_path, old, plan, report.layers)
            report = replace(report, left=(*report.left, *left))
            others = (found for found in old.layers if found not in chosen and found.weight not in left)
            everything = [*report.layers, *others]
            network = [
                replace(one, arrays=tuple(names.get(array, array) for array in one.arrays))
                for one in old.network
                if not set(one.arrays) & set(left)
            ]
            document.write_text(specs.document(new_path.name, everything, report.left, report.notes, network))
    return report


def _choose(old: WeightFile, name: str, source: str) -> tuple[LocalLayer, ...]:
    """Return the layers to convert; each must be in the layout that the user named."""
    if not old.layers:
        todo = "describe its layers with --spec" if old.config is None else ""
        raise problem(old.path, "layers", "no locally connected layer", "at least one", todo)
    chosen = old.called(name) if name else old.layers
    check_source(chosen, source)
    return chosen


def check_source(layers: Sequence[LocalLayer], source: str) -> None:
    """Refuse a layout that is not the one in which the file states its layers to be.

    Raises
    ------
    LayoutError
        If it is not; the error tells which one is.
    """
    for layer in layers:
        if source not in (STORED, layer.layout):
            got, expected = f"{source or 'nothing'} for layer {layer.name}", f"{layer.layout}, as the file states"
            todo = f"write --from {layer.layout}, or --from {STORED} for what the file states; --layer takes one layer"
            raise LayoutError(Violation("layout/source", "--from", got, expected, todo=todo))


def _plan(old: WeightFile, chosen: Sequence[LocalLayer], target: str) -> tuple[Report, list[Planned]]:
    """Return what will be written, array by array in the order of the old file, and the report of it."""
    plans = {name: Planned(name, tensor.shape, tensor.dtype, tensor.read) for name, tensor in old.tensors.items()}
    loses = []
    for layer in chosen:
        plans |= _converted(old, layer, target)
        loses += _losses(layer, target)
    own = {name for layer in chosen for name in (layer.weight, layer.bias)}
    report = Report(
        layers=tuple(replace(layer, layout=target) for layer in chosen),
        carried=tuple(name for name in plans if name not in own),
        left=old.left,
        loses=tuple(loses),
        notes=old.notes,
    )
    return report, list(plans.values())


def _converted(old: WeightFile, layer: LocalLayer, target: str) -> dict[str, Planned]:
    """Return the plans of one layer's arrays; shapes are checked before anything is read."""
    weight, bias = old.tensors[layer.weight], old.tensors.get(layer.bias)
    with about(old.path, layer.name):
        spec, here, there = layer.spec, get(layer.layout), get(target)
        checks.check_holds(here, spec)
        checks.check_weight(here, spec, weight.shape)
        shape, bias_shape = layouts.weight_shape(target, spec), layouts.bias_shape(target, spec)
        if (bias is None) != (bias_shape is None):
            got = "no array" if bias is None else f"array {bias.name}"
            raise LayoutError(Violation("bias/presence", "bias", got, f"what spec.bias={spec.bias!r} says"))
        alone = Spec.from_dict({**spec.to_dict(), "bias": "none"})

    def convert_weight() -> Array:
        with about(old.path, layer.name):
            return layouts.convert(alone, weight.read(), None, source=here.name, target=there.name)[0]

    plans = {weight.name: Planned(weight.name, shape, weight.dtype, convert_weight)}
    if bias is None or bias_shape is None:
        return plans
    stored = bias
    with about(old.path, layer.name):
        biases.check(here, spec, bias.shape)

    def convert_bias() -> Array:
        with about(old.path, layer.name):
            moved = biases.convert(spec, stored.read(), here, there)
        assert moved is not None
        return moved

    return plans | {bias.name: Planned(bias.name, bias_shape, bias.dtype, convert_bias)}


def _losses(layer: LocalLayer, target: str) -> list[str]:
    """Return what the conversion of one layer loses."""
    spec, here, there = layer.spec, get(layer.layout), get(target)
    lines = []
    dead = math.prod(spec.weight_shape) - spec.connection_count
    if there.form != "taps" and here.form == "taps" and dead:
        lines.append(f"{layer.name}: {dead} weights of taps that fall on padding, which no output depends on")
    entries = math.prod(layouts.weight_shape(here.name, spec)) - spec.connection_count
    if here.form == "dense" and there.name != here.name and entries:
        lines.append(f"{layer.name}: {entries} entries of the dense matrix that join no window")
    return lines
