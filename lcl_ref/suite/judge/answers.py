"""Answers of a layer in a file, so that a diagnosis need not ask again; memory holds one at a time.

A record is a line of JSON and the bytes of the arrays it names. The process that writes may die at any time, so a
record that is cut off at the end is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.suite.adapter import OPERATIONS
from lcl_ref.suite.judge.observation import Observation
from lcl_ref.suite.judge.tasks import Task

Array = NDArray[Any]
Key = tuple[str, str, str]
"""Case, operation and dtype."""

MOST_BYTES = 1 << 30
"""How long a file may become; what does not fit is asked again."""


class AnswerFile:
    """What was observed of one backend.

    Parameters
    ----------
    path : Path
        The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, seen: Observation) -> None:
        """Write one observation, without the arrays of an exact answer that is right: they are the golden ones."""
        golden = seen.verdict == "pass" and seen.task.exact
        arrays = {} if golden else {name: np.ascontiguousarray(array) for name, array in seen.answers.items()}
        facts = {
            "key": (seen.case, seen.op, seen.task.dtype),
            "verdict": seen.verdict,
            "message": seen.message,
            "arrays": [(name, array.dtype.name, seen.answers[name].shape) for name, array in arrays.items()],
        }
        with self._path.open("ab") as file:
            if file.tell() + sum(array.nbytes for array in arrays.values()) <= MOST_BYTES:
                file.write(json.dumps(facts).encode() + b"\n" + b"".join(array.tobytes() for array in arrays.values()))

    def wrong(self) -> list[Key]:
        """Return the cells whose answer is wrong or none."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            return [key for key, facts, _ in _records(file) if facts["verdict"] in ("fail", "error")]

    def read(self, wanted: Container[Key], task_of: Callable[[str, str], Task]) -> dict[Key, Observation]:
        """Return what is known of the `wanted` cells; `task_of` gives the task of a case and dtype."""
        if not self._path.exists():
            return {}
        with self._path.open("rb") as file:
            return {
                key: _observation(facts, arrays, task_of(key[0], key[2]))
                for key, facts, arrays in _records(file)
                if key in wanted
            }


def _observation(facts: Mapping[str, Any], arrays: Mapping[str, Array], task: Task) -> Observation:
    case, op, _ = facts["key"]
    if facts["verdict"] == "pass" and task.exact:
        arrays = {name: task.golden[name] for name in OPERATIONS[op].results if name in task.golden}
    return Observation(case, op, task, facts["verdict"], arrays, facts["message"])


def _records(file: IO[bytes]) -> Iterator[tuple[Key, dict[str, Any], dict[str, Array]]]:
    """Yield the records of a file up to one that is cut off."""
    while (line := file.readline()).endswith(b"\n"):
        facts = json.loads(line)
        arrays = {}
        for name, dtype, shape in facts["arrays"]:
            empty = np.empty(shape, np.dtype(dtype))
            data = file.read(empty.nbytes)
            if len(data) < empty.nbytes:
                return
            arrays[name] = np.frombuffer(data, empty.dtype).reshape(shape)
        yield tuple(facts["key"]), facts, arrays
