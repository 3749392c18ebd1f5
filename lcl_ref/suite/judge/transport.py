"""A reply on its way from the process of the layer to the one that judges: facts as JSON, arrays as bytes.

Nothing is unpickled: bytes become an array only where their length is that of a dtype and shape in plain words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.ask import Reply
from lcl_ref.suite.judge.outcome import ErrorKind

Array = NDArray[Any]

MOST_BYTES = 1 << 28
"""How long an answer may be; of a longer one only the form is sent."""

ENDS = ("fail", "error", "unsupported", "not_run")
"""States that a layer's process may give; whether a cell passes is never for it to say."""

_PARTS = ("answers", "again")


def packed(reply: Reply) -> tuple[dict[str, Any], bytes]:
    """Return a reply as JSON-ready facts and the bytes of its arrays, one after the other."""
    parts = [getattr(reply, part) for part in _PARTS]
    for name, array in ((name, array) for part in parts for name, array in part.items()):
        if not _plain(array.dtype):
            text = f"{name}: got dtype {array.dtype}, expected a floating-point format"
            end = {"state": "error", "message": text, "error_kind": "malformed"}
            return {"seconds": reply.seconds, "end": end, "raised": reply.raised, "answers": [], "again": []}, b""
    forms = {
        part: [[name, str(array.dtype), array.shape, _length(array)] for name, array in arrays.items()]
        for part, arrays in zip(_PARTS, parts, strict=True)
    }
    data = b"".join(array.tobytes() for part in parts for array in part.values() if _length(array))
    return {"seconds": reply.seconds, "end": dict(reply.end), "raised": reply.raised} | forms, data


def unpacked(facts: Mapping[str, Any], data: bytes, wanted: AbstractSet[str]) -> Reply:
    """Return the reply that `packed` made these of; it has the `wanted` results, or an end.

    Raises
    ------
    ValueError
        If facts and bytes do not fit each other.
    """
    end = facts["end"]
    if end and (
        end.get("state") not in ENDS
        or not end.keys() <= {"state", "message", "error_kind"}
        or not isinstance(end.get("message"), str)
        or end.get("error_kind") not in (None, *get_args(ErrorKind))
    ):
        raise ValueError(f"an answer with the end {end}")
    parts: dict[str, dict[str, Array]] = {}
    place = 0
    for part in _PARTS:
        parts[part] = {}
        for name, dtype, shape, length in facts[part]:
            parts[part][name] = _array(np.dtype(dtype), tuple(shape), length, data[place : place + length])
            place += length
    if place != len(data) or not parts["again"].keys() <= parts["answers"].keys():
        raise ValueError(f"an answer of {len(data)} bytes where {place} were announced")
    if not end and not wanted <= parts["answers"].keys():
        raise ValueError(f"an answer without {', '.join(sorted(wanted - parts['answers'].keys()))}")
    seconds = float(facts["seconds"])
    if not 0 <= seconds < math.inf:
        raise ValueError(f"an answer that took {seconds} s")
    return Reply(seconds, parts["answers"], parts["again"], end, str(facts["raised"]))


def _plain(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" or dtype.name in FORMATS


def _length(array: Array) -> int:
    return array.nbytes if array.nbytes <= MOST_BYTES else 0


def _array(dtype: np.dtype[Any], shape: tuple[int, ...], length: int, data: bytes) -> Array:
    if not _plain(dtype) or any(size < 0 for size in shape):
        raise ValueError(f"no form of an answer: {dtype} {shape}")
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > MOST_BYTES:
        return np.broadcast_to(np.full((), np.nan).astype(dtype), shape)
    if not length == nbytes == len(data):
        raise ValueError(f"{len(data)} bytes for {dtype} {shape}")
    return np.frombuffer(data, dtype).reshape(shape)
