"""Golden data on disk: ``.safetensors`` files, ``index.json`` and ``SHA256SUMS`` (SPEC clause 11.4).

Everything is built in memory first as ``{file name: bytes}``; writing and checking share that one function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from lcl_ref.errors import FixtureError, Violation
from lcl_ref.extensions.cases import EXTENSION_CASES, KINDS, ExtensionCase
from lcl_ref.spec import Spec
from lcl_ref.suite import extension_golden, golden
from lcl_ref.suite.cases import CASES, REFUSALS
from lcl_ref.suite.cases.model import Case, Refusal
from lcl_ref.suite.dtypes import FORMATS

Array = NDArray[Any]

FORMAT = "lcl-fixtures/1"
INDEX, SUMS, README = "index.json", "SHA256SUMS", "README.md"
EXTENSIONS = "extensions.safetensors"

_TENSOR_DTYPES: dict[str, np.dtype[Any]] = {
    "I8": np.dtype(np.int8),
    "I16": np.dtype(np.int16),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "F16": FORMATS["float16"].dtype,
    "BF16": FORMATS["bfloat16"].dtype,
    "F32": FORMATS["float32"].dtype,
    "F64": FORMATS["float64"].dtype,
}


def sha256(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def file_name(case: Case) -> str:
    """Return the data file of a case: one per rank and topic."""
    rank, topic, _ = case.id.split("/")
    return f"{rank}-{topic}.safetensors"


def build(cases: Iterable[Case] = CASES) -> dict[str, bytes]:
    """Regenerate all golden data in memory.

    Returns
    -------
    dict of str to bytes
        The data files and the index; ``SHA256SUMS`` is `sums` of them.

    Raises
    ------
    FixtureError
        If the two oracles disagree on any case.
    """
    tensors: dict[str, dict[str, Array]] = {}
    entries = []
    for case in sorted(cases, key=lambda case: case.id):
        arrays = golden.compute(case)
        tensors.setdefault(file_name(case), {}).update(
            {f"{case.id}/{name}": np.ascontiguousarray(array) for name, array in arrays.items()}
        )
        entries.append(_entry(case, arrays))
    extended = []
    for extension in EXTENSION_CASES:
        arrays = extension_golden.compute(extension)
        tensors.setdefault(EXTENSIONS, {}).update({f"{extension.id}/{name}": arrays[name] for name in arrays})
        extended.append(_extension(extension, arrays))
    files = {name: safetensors.numpy.save(arrays) for name, arrays in sorted(tensors.items())}
    sections = {"cases": entries, "refused": [_refused(refusal) for refusal in REFUSALS], "extensions": extended}
    return files | {INDEX: _index(sections)}


def _index(sections: Mapping[str, list[dict[str, Any]]]) -> bytes:
    """Return the index as JSON with one case to a line, so that a diff shows the cases that changed."""
    parts = [f'"format": {json.dumps(FORMAT)}']
    for name, entries in sections.items():
        parts.append(f'"{name}": [\n' + ",\n".join(json.dumps(entry) for entry in entries) + "\n]")
    return ("{" + ",\n".join(parts) + "}\n").encode()


def _entry(case: Case, arrays: Mapping[str, Array]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": case.id,
        "why": case.why,
        "clauses": list(case.clauses),
        "tags": list(case.tags),
        "values": case.values,
        "batch": case.batch,
        "spec": case.spec.to_dict(),
        "file": file_name(case),
    }
    if case.values == "exact":
        wide = {name: array.astype(np.int64) for name, array in arrays.items() if name not in golden.RESULTS}
        entry["certificate"] = golden.certificate(case, wide)
    if case.values == "complex":
        entry["certificate"] = golden.complex_certificate(case, arrays)
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
        entry["certificate"] = extension_golden.certificate(case, arrays)
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


def sums(files: Mapping[str, bytes]) -> bytes:
    """Return the text of ``SHA256SUMS`` for these files, as ``sha256sum -c`` reads it."""
    return "".join(f"{sha256(data)}  {name}\n" for name, data in sorted(files.items())).encode()


def parse_tensors(data: bytes, name: str) -> dict[str, Array]:
    """Return the arrays of one ``.safetensors`` file.

    Raises
    ------
    FixtureError
        If the bytes are not a safetensors file.
    """
    try:
        entries: list[tuple[str, Any]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise FixtureError(Violation("fixtures/format", name, str(error), "a safetensors file")) from error
    return {
        key: np.frombuffer(bytes(entry["data"]), _TENSOR_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for key, entry in entries
    }


@dataclass(frozen=True)
class Store:
    """Golden data in a folder; files are read once, on first use.

    Parameters
    ----------
    root : Path
        The folder that holds ``index.json``.
    """

    root: Path

    @cached_property
    def index(self) -> dict[str, Any]:
        """The parsed index.

        Raises
        ------
        FixtureError
            If it is missing, is not JSON, or has another format.
        """
        text = self.read(INDEX)
        try:
            index: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise FixtureError(Violation("fixtures/index", str(self.root / INDEX), str(error), "JSON")) from error
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            got = f"format {index.get('format') if isinstance(index, dict) else type(index).__name__!r}"
            raise FixtureError(Violation("fixtures/index", str(self.root / INDEX), got, f"format {FORMAT!r}"))
        return index

    @cached_property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Index entries of the accepted cases by id."""
        return {entry["id"]: entry for entry in self.index["cases"]}

    @cached_property
    def extensions(self) -> dict[str, dict[str, Any]]:
        """Index entries of the cases of extensions by id."""
        return {entry["id"]: entry for entry in self.index.get("extensions", [])}

    @cached_property
    def _files(self) -> dict[str, str]:
        return {name: entry["file"] for name, entry in (self.entries | self.extensions).items()}

    @cached_property
    def _specs(self) -> dict[str, Spec]:
        return {}

    def spec(self, case_id: str) -> Spec:
        """Return the layer of one case, parsed once."""
        if case_id not in self._specs:
            self._specs[case_id] = Spec.from_dict(self.entries[case_id]["spec"])
        return self._specs[case_id]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ``SHA256SUMS``: names the whole set in reports."""
        return sha256(self.read(SUMS))

    @cached_property
    def _loaded(self) -> dict[str, dict[str, Array]]:
        return {}

    def read(self, name: str) -> bytes:
        """Return the bytes of one file of the set."""
        path = self.root / name
        try:
            return path.read_bytes()
        except OSError as error:
            todo = "name the folder with --data, or write it with `lcl fixtures write`"
            raise FixtureError(Violation("fixtures/missing", str(path), str(error), "a file", todo=todo)) from error

    def arrays(self, case_id: str) -> dict[str, Array]:
        """Return the stored arrays of one case by name (``"x"``, or ``"float32/x"`` where rounded)."""
        name = self._files[case_id]
        if name not in self._loaded:
            self._loaded[name] = parse_tensors(self.read(name), name)
        prefix = f"{case_id}/"
        tensors = self._loaded[name].items()
        return {key.removeprefix(prefix): array for key, array in tensors if key.startswith(prefix)}
