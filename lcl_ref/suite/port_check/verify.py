"""`verify_port`: a converted file against the old one, layer by layer, on the same inputs, forward and gradient.

Are the converted weights those of the old file, bit for bit? Does the old framework's own layer, holding the arrays of
the old file as they are, compute what the reference computes from the converted ones? Does the new layer?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import numpy as np

from lcl_ref import layouts
from lcl_ref.errors import FileError, Violation
from lcl_ref.files.contents import Array, LocalLayer, WeightFile
from lcl_ref.files.converting import STORED, check_source
from lcl_ref.files.opening import open_weights
from lcl_ref.layouts.forms import live
from lcl_ref.suite.adapter import Adapter, LiveAdapter, Prepared
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.judge.ask import answers_of
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Malformed
from lcl_ref.suite.port_check.chunked import Question, hold
from lcl_ref.suite.run import loading, registry
from lcl_ref.suite.run.registered import registered

SEED = 20
BATCH = 2
OPS = ("forward", "vjp")

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
    old_path: Path,
    new_path: Path,
    backend: str = "numpy.matmul",
    spec: Path | None = None,
    *,
    source: str = STORED,
    layers: Sequence[str] = (),
    progress: Callable[[str], object] = str,
) -> list[Finding]:
    """Compare the layers of a converted file with those of the old one.

    Parameters
    ----------
    old_path, new_path : Path
        The file before and after `convert_file`.
    backend : str
        Who computes with the new weights (`lcl backends`, or a file of your own).
    spec : Path, optional
        Specification of the old file, where it does not describe its layers (`open_weights`).
    source : str
        Layout of the layers in the old file; ``"stored"``: the one that the file itself states.
    layers : sequence of str
        Names of the layers to look at; without any, all.
    progress : callable
        Is told what is being done, in a few words, before it is.

    Raises
    ------
    FileError
        If a file cannot be read, there is no layer of a given name, or one of the old file is not in the new one.
    AdapterError
        If `backend` names nothing.
    """
    ref = loading.resolve([backend])[0]
    adapter = loading.load(ref)
    alone = layers[0] if len(layers) == 1 else ""
    described = open_weights(old_path, spec, alone, "" if source == STORED else source)
    with described as old, open_weights(new_path) as new:
        if not old.layers:
            raise FileError(Violation("file/layers", old_path.name, "no locally connected layer", "at least one"))
        check_source(old.layers, source)
        names = {layer.name for name in layers for layer in old.called(name)}
        chosen = [layer for layer in old.layers if not layers or layer.name in names]
        ported = [_ported(new, layer) for layer in chosen]
        counted = [f"{layer.name}, layer {number} of {len(chosen)}" for number, layer in enumerate(chosen, 1)]
        ports = map(_Port, chosen, ported, counted, repeat(progress))
        return [finding for port in ports for finding in port.findings(old, new, ref.name, adapter)]


def _ported(new: WeightFile, layer: LocalLayer) -> LocalLayer:
    ported = new.layer(layer.name)
    if ported is None:
        names = ", ".join(found.name for found in new.layers) or "none"
        raise FileError(Violation("file/layer", new.path.name, f"no layer {layer.name}", f"it, beside {names}"))
    return ported


def _finding(name: str, side: str, found: Question | Finding) -> Finding:
    """Return the verdict of a question, or what was found instead of one."""
    if isinstance(found, Finding):
        return found
    if found.worst is None:
        return Finding(name, side, found.op, "pass", found.error_ratio, "; ".join(found.warnings.values()))
    ratio, message = found.worst
    return Finding(name, side, found.op, "fail", ratio if math.isfinite(ratio) else None, message)


def _stored(file: WeightFile, layer: LocalLayer) -> tuple[Array, Array | None]:
    """Return the arrays of a layer as they are."""
    return file.tensors[layer.weight].read(), file.tensors[layer.bias].read() if layer.bias else None


def _canonical(file: WeightFile, layer: LocalLayer) -> tuple[Array, Array | None]:
    return layouts.convert(layer.spec, *_stored(file, layer), source=layer.layout, target="canonical")


def _same_weights(layer: LocalLayer, old: tuple[Array, Array | None], new: tuple[Array, Array | None]) -> Finding:
    """Compare bit for bit, but for taps that fall on padding, which some layouts do not store."""
    differ = old[0] != new[0]
    wrong, total = int(differ.sum()), differ.size
    if not any(layer.spec.shared):
        seen = live(layer.spec)
        total = int(seen.sum()) * math.prod(layer.spec.weight_shape[-2:])
        wrong = int(differ[seen].sum()) if wrong else 0
    if old[1] is not None and new[1] is not None:
        wrong += int((old[1] != new[1]).sum())
        total += old[1].size
    message = f"{wrong} of {total} numbers differ" if wrong else f"{total} numbers, bit for bit"
    return Finding(layer.name, "weights", "", "fail" if wrong else "pass", None, message)


def _operands(layer: LocalLayer, weight: Array, bias: Array | None) -> dict[str, Array]:
    """Return the weights, and random x and dy in their dtype."""
    spec, dtype = layer.spec, str(weight.dtype)
    if dtype not in DTYPES:
        raise FileError(Violation("file/dtype", f"layer {layer.name}", f"weights of dtype {dtype}", ", ".join(DTYPES)))
    draw = np.random.default_rng(SEED)
    drawn = {"x": draw.standard_normal(spec.x_shape(BATCH)), "dy": draw.standard_normal(spec.y_shape(BATCH))}
    operands = {name: array.astype(weight.dtype) for name, array in drawn.items()}
    return operands | {"weight": weight} | ({} if bias is None else {"bias": bias})


def _live(layer: LocalLayer, dtype: str) -> LiveAdapter | str:
    """Return who can hold the arrays of a layer as they are, or why nobody does."""
    declared = [one for one in registered().values() if one.readable and layer.layout in one.declaration.live_layouts]
    reasons = [f"no live layer for {layer.layout}"]
    for one in declared:
        if not registry.installed(one.declaration):
            reasons.append(f"{', '.join(one.declaration.modules)} not installed")
            continue
        refused = one.declaration.capabilities.refusal(layer.spec, dtype, "vjp")
        if refused is None:
            return cast("LiveAdapter", one.load()())
        reasons.append(f"{one.name}: {refused}")
    return reasons[-1]


def _settings_that_differ(layer: LocalLayer, config: Mapping[str, Any]) -> str:
    """Compare the live layer with the settings of the file: it was built from our reading of them."""
    pairs = {key: (layer.settings[key], config[key]) for key in _CHECKED if key in layer.settings and key in config}
    if any(map(any, layer.spec.padding)) and "padding" in config:
        pairs["padding"] = layer.settings.get("padding"), config["padding"]
    plain = {key: (_plain(stored), _plain(built)) for key, (stored, built) in pairs.items()}
    return ", ".join(
        f"{key}: file {stored}, layer {built}" for key, (stored, built) in plain.items() if stored != built
    )


def _plain(value: Any) -> Any:
    """Return a list for any sequence, of one entry for a bare number."""
    return list(value) if isinstance(value, list | tuple) else [value]


_Asked = list[tuple[str, Question | Finding]]
"""Who was asked, and what, or what there is to say instead."""


@dataclass(frozen=True)
class _Port:
    """A layer of the old file, and the same one of the new file."""

    old: LocalLayer
    new: LocalLayer
    words: str
    told: Callable[[str], object]

    def findings(self, old: WeightFile, new: WeightFile, name: str, adapter: Adapter) -> list[Finding]:
        """Return what there is to say about the layer."""
        layer = self.old
        if self.new.spec != layer.spec:
            return [Finding(layer.name, "spec", "", "fail", None, f"got {self.new.spec}, expected {layer.spec}")]
        self._progress("weights")
        weight, bias = _canonical(new, self.new)
        same = _same_weights(layer, _canonical(old, layer), (weight, bias))
        operands = _operands(layer, weight, bias)
        asked = self._old_answers(old, operands) + self._new_answers(name, adapter, operands)
        self._progress("limits")
        questions = [question for _, question in asked if isinstance(question, Question)]
        hold(layer.spec, str(weight.dtype), operands, questions)
        return [same, *(_finding(layer.name, side, found) for side, found in asked)]

    def _progress(self, step: str) -> None:
        self.told(f"{self.words}: {step}")

    def _old_answers(self, old: WeightFile, operands: Mapping[str, Array]) -> _Asked:
        """Let the old framework's layer compute, holding the arrays of the file as they are."""
        layer, dtype = self.old, str(operands["weight"].dtype)
        adapter = _live(layer, dtype)
        if isinstance(adapter, str):
            return [("old", Finding(layer.name, "old", "", "not_run", None, adapter))]
        side = f"old: {adapter.declaration.name}"
        self._progress(f"{side}, building")
        prepared = adapter.prepare_stored(layer.spec, layer.layout, *_stored(old, layer))
        differs = _settings_that_differ(layer, getattr(prepared, "settings", {}))
        if differs:
            return [(side, Finding(layer.name, side, "", "fail", None, f"read as another layer: {differs}"))]
        return self._answers(side, adapter, prepared, operands, OPS)

    def _new_answers(self, name: str, adapter: Adapter, operands: Mapping[str, Array]) -> _Asked:
        """Let the layer of today compute with the converted weights."""
        spec, can, dtype = self.old.spec, adapter.declaration.capabilities, str(operands["weight"].dtype)
        side = f"new: {name}"
        refusals = {op: can.refusal(spec, dtype, op) for op in OPS}
        if all(refusals.values()):
            return [(side, Finding(self.old.name, side, "", "not_run", None, refusals["forward"] or ""))]
        self._progress(f"{side}, building")
        prepared = adapter.prepare(spec, operands["weight"], operands.get("bias"), dtype)
        return self._answers(side, adapter, prepared, operands, [op for op in OPS if refusals[op] is None])

    def _answers(
        self, side: str, adapter: Adapter, prepared: Prepared, operands: Mapping[str, Array], ops: Sequence[str]
    ) -> _Asked:
        """Ask a prepared layer."""
        asked: _Asked = []
        for op in ops:
            self._progress(f"{side}, {op}")
            sums = accumulation_of(str(operands["weight"].dtype), op, adapter.declaration.capabilities.accumulation)
            try:
                asked.append((side, Question(op, answers_of(prepared, op, operands), sums)))
            except Malformed as wrong:
                asked.append((side, Finding(self.old.name, side, op, "fail", None, str(wrong))))
        return asked
