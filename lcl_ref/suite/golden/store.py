"""Golden data on disk: ``.safetensors`` files, ``index.json`` and ``SHA256SUMS`` (SPEC clause 11.4).

Reading needs no catalogue and no oracle; `lcl_ref.suite.golden.regenerate` computes what is read here, and
`lcl_ref.suite.golden.generated` makes the arrays that are not stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.errors import FixtureError, Violation
from lcl_ref.outside.text import shown
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.golden import generated

Array = NDArray[Any]

FORMAT = "lcl-fixtures/1"
INDEX, SUMS, README = "index.json", "SHA256SUMS", "README.md"

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
    return {key: _array(name, key, entry["dtype"], entry["shape"], bytes(entry["data"])) for key, entry in entries}


def _array(name: str, key: str, dtype: str, shape: Sequence[int], data: bytes) -> Array:
    if dtype not in _TENSOR_DTYPES:
        got = f"array {shown(key)} of dtype {dtype}"
        raise FixtureError(Violation("fixtures/format", name, got, f"one of {', '.join(_TENSOR_DTYPES)}"))
    try:
        return np.frombuffer(data, _TENSOR_DTYPES[dtype]).reshape(shape)
    except ValueError as error:
        got = f"array {shown(key)} of shape {shown(list(shape), 80)}"
        raise FixtureError(Violation("fixtures/format", name, got, "a shape that an array can have")) from error


def lacking(case_id: str, root: Path) -> Violation:
    """Return what is wrong where the golden data has no such case."""
    return Violation("fixtures/case", case_id, f"no data in {root}", "data", todo="write it with `lcl fixtures write`")


@dataclass(frozen=True)
class Store:
    """Golden data in a folder; files are read once, on first use.

    Parameters
    ----------
    root : Path
        The folder that holds ``index.json``.
    answered : bool
        Whether arrays that are not stored are made with the right results.
    """

    root: Path
    answered: bool = True

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
            index: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FixtureError(Violation("fixtures/index", str(self.root / INDEX), str(error), "JSON")) from error
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            got = f"format {index.get('format') if isinstance(index, dict) else type(index).__name__!r}"
            raise FixtureError(Violation("fixtures/index", str(self.root / INDEX), got, f"format {FORMAT!r}"))
        return dict(index)

    @cached_property
    def entries(self) -> dict[str, dict[str, Any]]:
        """Index entries of the accepted cases by id, those whose arrays are made when asked last."""
        return {entry["id"]: entry for entry in (*self.index["cases"], *self.index.get("generated", []))}

    @cached_property
    def extensions(self) -> dict[str, dict[str, Any]]:
        """Index entries of the cases of extensions by id."""
        return {entry["id"]: entry for entry in self.index.get("extensions", [])}

    @cached_property
    def _files(self) -> dict[str, str]:
        return {name: entry["file"] for name, entry in (self.entries | self.extensions).items() if "file" in entry}

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

    @cached_property
    def _made(self) -> dict[str, dict[str, Array]]:
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
        """Return the arrays of one case by name (``"x"``, or ``"float32/x"`` where rounded).

        They are read, or made where the index only says how; the last that were made are kept.

        Raises
        ------
        FixtureError
            If there is no such case.
        """
        if case_id not in self._files:
            if case_id not in self.entries:
                raise FixtureError(lacking(case_id, self.root))
            made = self._made.get(case_id)
            if made is None:  # threads that ask at once make it twice
                made = generated.arrays(self.entries[case_id], sha256, answered=self.answered)
                self._made.clear()
                self._made[case_id] = made
            return made
        name = self._files[case_id]
        if name not in self._loaded:
            self._loaded[name] = parse_tensors(self.read(name), name)
        prefix = f"{case_id}/"
        tensors = self._loaded[name].items()
        return {key.removeprefix(prefix): array for key, array in tensors if key.startswith(prefix)}
