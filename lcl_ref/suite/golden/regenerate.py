"""Golden data as bytes, computed anew: ``.safetensors`` files and ``index.json`` (SPEC clause 11.4).

Everything is built in memory first as ``{file name: bytes}``; writing and checking share that one function.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from lcl_ref.suite.adapter import OPERANDS, RESULTS
from lcl_ref.suite.cases.case import Case, Refusal
from lcl_ref.suite.cases.catalogue import CASES, EXTENSION_CASES, REFUSALS
from lcl_ref.suite.cases.extensions import KINDS, ExtensionCase
from lcl_ref.suite.golden import extensions, generated, results
from lcl_ref.suite.golden.store import FORMAT, INDEX, sha256

Array = NDArray[Any]

EXTENSIONS = "extensions.safetensors"


def file_name(case: Case | ExtensionCase) -> str:
    """Return the data file of a case: one per rank and topic, and one for all extensions."""
    if isinstance(case, ExtensionCase):
        return EXTENSIONS
    rank, topic, _ = case.id.split("/")
    return f"{rank}-{topic}.safetensors"


def build(cases: Iterable[Case | ExtensionCase] = (*CASES, *EXTENSION_CASES)) -> dict[str, bytes]:
    """Regenerate the golden data of some cases in memory, and what is refused.

    Returns
    -------
    dict of str to bytes
        The data files and the index; ``SHA256SUMS`` is `lcl_ref.suite.golden.store.sums` of them.

    Raises
    ------
    FixtureError
        If the two oracles disagree on any case.
    """
    tensors: dict[str, dict[str, Array]] = {}
    entries, extended, made = [], [], []
    for case in sorted(cases, key=lambda case: "" if isinstance(case, ExtensionCase) else case.id):
        if isinstance(case, ExtensionCase):
            arrays = extensions.compute(case)
            extended.append(_extension(case, arrays))
        else:
            arrays = results.compute(case)
            if case.generated:
                made.append(_generated(case, arrays))
                continue
            entries.append(_entry(case, arrays))
        tensors.setdefault(file_name(case), {}).update(
            {f"{case.id}/{name}": np.asarray(array, order="C") for name, array in arrays.items()}
        )
    files = {name: safetensors.numpy.save(arrays) for name, arrays in sorted(tensors.items())}
    refused = [_refused(refusal) for refusal in REFUSALS]
    sections = {"cases": entries, "refused": refused, "extensions": extended, "generated": made}
    return files | {INDEX: _index(sections)}


def _index(sections: Mapping[str, list[dict[str, Any]]]) -> bytes:
    """Return the index as JSON with one case to a line, so that a diff shows the cases that changed."""
    parts = [f'"format": {json.dumps(FORMAT)}']
    for name, entries in sections.items():
        parts.append(f'"{name}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]")
    return ("{" + ",\n".join(parts) + "}\n").encode()


def _facts_of(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "why": case.why,
        "clauses": list(case.clauses),
        "tags": list(case.tags),
        "values": case.values,
        "batch": case.batch,
        "spec": case.spec.to_dict(),
        **({"written": dict(case.written)} if _names_padding(case) else {}),
    }


def _names_padding(case: Case) -> bool:
    """Return whether padding is written by the name of a rule, for the layer or for an axis."""
    padding = case.written.get("padding")
    return any(isinstance(entry, str) for entry in (padding if isinstance(padding, list) else [padding]))


def _certificate(case: Case, arrays: Mapping[str, Array]) -> dict[str, int]:
    wide = {name: array.astype(np.int64) for name, array in arrays.items() if name in OPERANDS}
    return results.certificate(case, wide)


def _generated(case: Case, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Return the entry of a case whose arrays are made when they are asked (SPEC 11.8)."""
    made = {"amplitude": results.amplitude_of(arrays), "one_in": case.one_in, "certificate": _certificate(case, arrays)}
    checks = {name: generated.projections(case.id, name, arrays[name]) for name in RESULTS if name in arrays}
    return _facts_of(case) | made | {"checks": checks, "arrays": _facts(arrays)}


def _entry(case: Case, arrays: Mapping[str, Array]) -> dict[str, Any]:
    entry = _facts_of(case) | {"file": file_name(case)}
    if case.values == "exact":
        entry["certificate"] = _certificate(case, arrays)
    if case.values == "complex":
        entry["certificate"] = results.complex_certificate(case, arrays)
    return entry | {"arrays": _facts(arrays)}


def _facts(arrays: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    return {
        name: {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": sha256(array.tobytes())}
        for name, array in arrays.items()
    }


def _extension(case: ExtensionCase, arrays: Mapping[str, Array]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": case.id,
        "why": case.why,
        "clauses": list(case.clauses),
        "kind": case.kind,
        "settings": dict(case.settings),
        "values": case.values,
        "batch": case.batch,
        "spec": None if case.spec is None else case.spec.to_dict(),
        "file": EXTENSIONS,
        "results": [name for name in KINDS[case.kind].results if name in arrays],
    }
    if case.values == "exact":
        entry["certificate"] = extensions.certificate(case, arrays)
    return entry | {"arrays": _facts(arrays)}


def _refused(refusal: Refusal) -> dict[str, Any]:
    entry = {
        "id": refusal.id,
        "rule": refusal.rule,
        "why": refusal.why,
        "clauses": list(refusal.clauses),
        "arguments": dict(refusal.arguments),
    }
    return entry if refusal.arrays is None else entry | {"arrays": dict(refusal.arrays)}
