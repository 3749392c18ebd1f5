"""`verify_port`: a converted file against the old one, layer by layer, on the same inputs, forward and gradient.

Are the converted weights those of the old file, bit for bit? Does the old framework's own layer, holding the arrays of
the old file as they are, compute what the reference computes from the converted ones? Does the new layer?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref import fast, layouts
from lcl_ref.errors import FileError, Violation
from lcl_ref.files.model import Array, LocalLayer, WeightFile
from lcl_ref.files.opening import open_weights
from lcl_ref.layouts.forms import live
from lcl_ref.suite import catalogue, loading
from lcl_ref.suite.adapter import Adapter, Prepared
from lcl_ref.suite.bounds import accumulation_of
from lcl_ref.suite.compare import Malformed, Mismatch, check
from lcl_ref.suite.dtypes import FORMATS
from lcl_ref.suite.evaluate import Task, answers_of

SEED = 20
BATCH = 2

_CHECKED = ("kernel_size", "strides", "data_format", "implementation", "use_bias", "filters")
"""Stored settings that the live layer must have too."""


@dataclass(frozen=True)
class Finding:
    """One answer about one layer.

    Parameters
    ----------
    layer : str
        Name of the layer.
    side : str
        ``weights``, or who computed: ``old: keras.local1``, ``new: torch.unfold``.
    op : str
        ``forward``, ``vjp``, or empty.
    state : {"pass", "fail", "not_run"}
        Whether it holds.
    error_ratio : float or None
        Largest error divided by its limit.
    message : str
        What is wrong, or why it was not run.
    """

    layer: str
    side: str
    op: str
    state: str
    error_ratio: float | None = None
    message: str = ""


def verify_port(
    old_path: Path, new_path: Path, backend: str = "numpy.matmul", spec: Path | None = None
) -> list[Finding]:
    """Hold the layers of a converted file against those of the old one.

    Parameters
    ----------
    old_path, new_path : Path
        The file before and after `convert_file`.
    backend : str
        Who computes with the new weights (`lcl backends`, or a file of your own).
    spec : Path, optional
        Specification of the old file, where it does not describe its layers (`open_weights`).

    Raises
    ------
    FileError
        If a file cannot be read, or a layer of the old one is not in the new one.
    AdapterError
        If `backend` names nothing.
    """
    adapter = loading.load(loading.resolve([backend])[0])
    with open_weights(old_path, spec) as old, open_weights(new_path) as new:
        if not old.layers:
            raise FileError(Violation("file/layers", old_path.name, "no locally connected layer", "at least one"))
        return [finding for layer in old.layers for finding in _verify(old, layer, new, adapter)]


def _verify(old: WeightFile, layer: LocalLayer, new: WeightFile, adapter: Adapter) -> Iterator[Finding]:
    ported = new.layer(layer.name)
    if ported is None:
        names = ", ".join(found.name for found in new.layers) or "none"
        raise FileError(Violation("file/layer", new.path.name, f"no layer {layer.name}", f"it, beside {names}"))
    if ported.spec != layer.spec:
        yield Finding(layer.name, "spec", "", "fail", None, f"got {ported.spec}, expected {layer.spec}")
        return
    weight, bias = _canonical(new, ported)
    yield _same_weights(layer, _canonical(old, layer), (weight, bias))
    task = _task(layer, weight, bias)
    yield from _old_answers(old, layer, task)
    capable = [
        op for op in ("forward", "vjp") if adapter.declaration.capabilities.refusal(layer.spec, task.dtype, op) is None
    ]
    side = f"new: {adapter.declaration.name}"
    if not capable:
        reason = adapter.declaration.capabilities.refusal(layer.spec, task.dtype, "forward") or ""
        yield Finding(layer.name, side, "", "not_run", None, reason)
        return
    yield from _answers(layer.name, side, adapter, adapter.prepare(layer.spec, weight, bias, task.dtype), task, capable)


def _stored(file: WeightFile, layer: LocalLayer) -> tuple[Array, Array | None]:
    """Return the arrays of a layer as they are."""
    return file.tensors[layer.weight].read(), file.tensors[layer.bias].read() if layer.bias else None


def _canonical(file: WeightFile, layer: LocalLayer) -> tuple[Array, Array | None]:
    return layouts.convert(layer.spec, *_stored(file, layer), source=layer.layout, target="canonical")


def _same_weights(layer: LocalLayer, old: tuple[Array, Array | None], new: tuple[Array, Array | None]) -> Finding:
    """Compare bit for bit, but for taps that fall on padding, which some layouts do not store."""
    seen = live(layer.spec) if not any(layer.spec.shared) else ...
    wrong = int((old[0][seen] != new[0][seen]).sum())
    total = old[0][seen].size
    if old[1] is not None and new[1] is not None:
        wrong += int((old[1] != new[1]).sum())
        total += old[1].size
    message = f"{wrong} of {total} numbers differ" if wrong else f"{total} numbers, bit for bit"
    return Finding(layer.name, "weights", "", "fail" if wrong else "pass", None, message)


def _task(layer: LocalLayer, weight: Array, bias: Array | None) -> Task:
    """Return random operands in the dtype of the weights, and what the reference computes from them in float64."""
    spec, dtype = layer.spec, str(weight.dtype)
    if dtype not in FORMATS:
        raise FileError(Violation("file/dtype", f"layer {layer.name}", f"weights of dtype {dtype}", ", ".join(FORMATS)))
    draw = np.random.default_rng(SEED)
    operands = {
        "x": draw.standard_normal(spec.x_shape(BATCH)).astype(weight.dtype),
        "dy": draw.standard_normal(spec.y_shape(BATCH)).astype(weight.dtype),
        "weight": weight,
    }
    if bias is not None:
        operands["bias"] = bias
    wide = {name: array.astype(np.float64) for name, array in operands.items()}
    dx, dw, db = fast.vjp(spec, wide["x"], wide["weight"], wide["dy"])
    golden = {"y": fast.forward(spec, wide["x"], wide["weight"], wide.get("bias")), "dx": dx, "dw": dw}
    if db is not None:
        golden["db"] = db
    return Task(spec, dtype, False, (), operands, golden)


def _old_answers(old: WeightFile, layer: LocalLayer, task: Task) -> Iterator[Finding]:
    """Let the old framework's layer compute, holding the arrays of the file as they are."""
    name = layer.layout.replace("keras1/", "keras2/impl1/")
    chosen = [point for point in loading.registered().values() if point.name.startswith("keras.local")]
    adapters = [adapter for adapter in (point.load()() for point in chosen) if adapter.declaration.layout == name]
    reason = f"no live layer for {layer.layout}" if not adapters else ""
    if adapters and not catalogue.installed(adapters[0].declaration):
        reason = f"{', '.join(adapters[0].declaration.modules)} not installed"
    if reason:
        yield Finding(layer.name, "old", "", "not_run", None, reason)
        return
    adapter = adapters[0]
    side = f"old: {adapter.declaration.name}"
    empty = [np.zeros_like(task.operands["weight"]), np.zeros_like(task.operands["bias"]) if layer.bias else None]
    prepared: Any = adapter.prepare(layer.spec, *empty, task.dtype)
    differs = _settings_that_differ(layer, prepared.layer.get_config())
    if differs:
        yield Finding(layer.name, side, "", "fail", None, f"read as another layer: {differs}")
        return
    prepared.layer.set_weights([array for array in _stored(old, layer) if array is not None])
    yield from _answers(layer.name, side, adapter, prepared, task, ["forward", "vjp"])


def _settings_that_differ(layer: LocalLayer, config: dict[str, Any]) -> str:
    """Compare the live layer with the settings of the file: it was built from our reading of them."""
    pairs = {key: (layer.settings[key], config[key]) for key in _CHECKED if key in layer.settings}
    if any(map(any, layer.spec.padding)):
        pairs["padding"] = layer.settings.get("padding"), config["padding"]
    plain = {key: (_plain(stored), _plain(built)) for key, (stored, built) in pairs.items()}
    return ", ".join(
        f"{key}: file {stored}, layer {built}" for key, (stored, built) in plain.items() if stored != built
    )


def _plain(value: Any) -> Any:
    """Return a list for any sequence, of one entry for a bare number."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _answers(
    name: str, side: str, adapter: Adapter, prepared: Prepared, task: Task, ops: list[str]
) -> Iterator[Finding]:
    """Ask a prepared layer and hold its answers against their limits."""
    declared = adapter.declaration.capabilities.accumulation
    for op in ops:
        answers = answers_of(prepared, op, task.operands)
        try:
            agreements = [
                check(expected, answers[expected.result])
                for expected in task.expected(op, accumulation_of(task.dtype, op, declared))
            ]
        except (Mismatch, Malformed) as wrong:
            yield Finding(name, side, op, "fail", getattr(wrong, "error_ratio", None), str(wrong))
            continue
        worst = max(agreement.error_ratio for agreement in agreements)
        warnings = "; ".join(agreement.warning for agreement in agreements if agreement.warning)
        yield Finding(name, side, op, "pass", worst, warnings)
