"""Specifications beside weight files: what `convert` writes next to its output, and what ``--spec`` takes.

The document is JSON: ``format`` (``"lcl-weights/1"``), ``file``, ``left``, ``notes`` and ``layers``. Each layer has
``name``, ``kind``, ``layout``, ``weight`` and ``bias`` (names of arrays), ``spec`` (fields of `Spec`) and ``settings``.
Of a Keras model, ``network`` lists all layers with weights (fields of `lcl_ref.files.contents.NetworkLayer`).
``--spec`` takes the fields of one `Spec` alone, too, and what ``to_json`` or ``to_yaml`` of a Keras model wrote.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.files.contents import LocalLayer, NetworkLayer
from lcl_ref.files.keras import architecture
from lcl_ref.files.untrusted import about, check_name, problem, reading

FORMAT = "lcl-weights/1"


@dataclass(frozen=True)
class Given:
    """Specifications from a file: one layer alone, the layers of a whole weight file, or a Keras model."""

    alone: Spec | None = None
    layers: tuple[LocalLayer, ...] = ()
    model: Mapping[str, Any] | None = None
    network: tuple[NetworkLayer, ...] = ()


def beside(path: Path) -> Path:
    """Return where the specification of a weight file stands: ``model.npz.spec.json`` for ``model.npz``."""
    return path.with_name(f"{path.name}.spec.json")


def read(path: Path) -> Given:
    """Read a document, the fields of one `Spec`, or the architecture of a Keras model.

    Raises
    ------
    FileError
        If it is none of them.
    SpecError
        If a layer in it breaks a rule.
    """
    values = architecture.read(path)
    with reading(path, "a JSON specification"):
        if architecture.is_model(values):
            return Given(model=values)
        if "layers" not in values:
            return Given(alone=Spec.from_dict(values))
        if values.get("format") != FORMAT:
            raise problem(path, "format", f"format {values.get('format')!r}", repr(FORMAT))
        layers = tuple(_layer(path, layer) for layer in values["layers"])
        name, count = next(iter(Counter(layer.name for layer in layers).most_common(1)), ("", 0))
        if count > 1:
            raise problem(path, "layers", f"layer {name!r} {count} times", "each layer once")
        return Given(layers=layers, network=tuple(map(_network_layer, values.get("network", ()))))


def _layer(path: Path, values: Mapping[str, Any]) -> LocalLayer:
    name = check_name(path, str(values["name"]))
    stated = {key: value for key, value in values["spec"].items() if key != "channel_table"}
    unknown = [key for key, value in stated.items() if value is None or (isinstance(value, list) and None in value)]
    if unknown:
        todo = "write the numbers in: the code of the network has them"
        raise problem(path, "spec", f"null in {', '.join(unknown)} of layer {name}", "numbers", todo)
    with about(path, name):
        spec = Spec.from_dict(values["spec"])
    return LocalLayer(
        name=name,
        kind=str(values.get("kind", "")),
        spec=spec,
        layout=str(values["layout"]),
        weight=check_name(path, str(values["weight"])),
        bias=str(values.get("bias") or ""),
        settings=dict(values.get("settings") or {}),
    )


def _network_layer(values: Mapping[str, Any]) -> NetworkLayer:
    return NetworkLayer(
        name=str(values["name"]),
        kind=str(values["kind"]),
        arrays=tuple(map(str, values["arrays"])),
        settings=dict(values["settings"]),
        read_as=str(values["read_as"]),
        features=tuple(tuple(map(int, part)) for part in values["features"]),
        channels=str(values["channels"]),
    )


def as_dict(layer: LocalLayer) -> dict[str, Any]:
    """Return one layer as it stands in a document."""
    return {
        "name": layer.name,
        "kind": layer.kind,
        "layout": layer.layout,
        "weight": layer.weight,
        "bias": layer.bias or None,
        "spec": layer.spec.to_dict(),
        "settings": dict(layer.settings),
    }


def document(
    file: str,
    layers: Iterable[LocalLayer],
    left: Iterable[str],
    notes: Iterable[str],
    network: Iterable[NetworkLayer] = (),
) -> str:
    """Return the document that stands beside weight file `file`."""
    values = {
        "format": FORMAT,
        "file": file,
        "layers": [as_dict(layer) for layer in layers],
        "left": list(left),
        "notes": list(notes),
        "network": [asdict(layer) for layer in network],
    }
    return json.dumps(values, indent=1) + "\n"
