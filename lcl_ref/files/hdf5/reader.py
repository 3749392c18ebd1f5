"""The process that reads one HDF5 file: ``python -m lcl_ref.files.hdf5.reader FILE NAME LIMITS``.

It writes ``+`` and a description of the file as one line of JSON, and then, for every line with the number of a
dataset, ``+`` and its bytes in C order. What it refuses is ``-`` and a line of JSON with the facts of the error.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from lcl_ref.errors import FileError, LclError
from lcl_ref.files import limits
from lcl_ref.files.hdf5 import stored
from lcl_ref.files.untrusted import check_text, reading

CHUNK_BYTES = 1 << 24
"""Bytes read at a time."""


def main() -> None:
    """Serve one file until the input ends."""
    path, named = Path(sys.argv[1]), Path(sys.argv[2])
    out = sys.stdout.buffer
    try:
        with (
            limits.raised(float(sys.argv[3])),
            _bounded(path),
            reading(named, "an HDF5 file"),
            stored.library().File(path, "r") as file,
        ):
            _let_compute(path.stat().st_size)
            nodes = list(stored.walk(path, file))
            datasets = [(name, node) for name, node in nodes if isinstance(node, stored.library().Dataset)]
            _say(out, b"+", _described(path, nodes, datasets))
            for line in sys.stdin.buffer:
                name, dataset = datasets[int(line)]
                _let_compute(dataset.nbytes)
                _send(out, named, name, dataset)
    except LclError as error:
        _say(out, b"-", _refusal(error))


@contextmanager
def _bounded(path: Path) -> Iterator[None]:
    """Let this process have so much memory and no more: what the HDF5 library allocates is not for us to count."""
    stored.library()
    used = int(Path("/proc/self/statm").read_text("ascii").split()[5]) * resource.getpagesize() if _LINUX else 0
    most = used + limits.of(limits.MEMORY) + 2 * path.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    yield


def _let_compute(size: int) -> None:
    """Let this process compute as long as `size` bytes take, and no longer: on a damaged file the library may loop."""
    seconds = time.process_time() + limits.of(limits.SECONDS) + size / limits.PER_SECOND
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or seconds < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), hard))


_LINUX = sys.platform == "linux"


def _say(out: IO[bytes], sign: bytes, values: Any) -> None:
    out.write(sign + (values if isinstance(values, bytes) else json.dumps(values).encode()) + b"\n")
    out.flush()


def _refusal(error: LclError) -> dict[str, Any]:
    return {"rule": error.rule, "got": error.got, "expected": error.expected, "todo": error.todo}


def _described(path: Path, nodes: list[tuple[str, Any]], datasets: list[tuple[str, Any]]) -> bytes:
    """Return the line of JSON, whose attributes are bounded all together."""
    names = {name for name, _ in datasets}
    groups = _bounded_lines(path, ((name, node, [name]) for name, node in nodes if name not in names))
    forms = ((name, node, [name, list(node.shape), node.dtype.str]) for name, node in datasets)
    return b'{"groups": [%b], "datasets": [%b]}' % (groups, _bounded_lines(path, forms))


def _bounded_lines(path: Path, nodes: Iterable[tuple[str, Any, list[Any]]]) -> bytes:
    found, size = [], 0
    for _, node, facts in nodes:
        found.append(json.dumps([*facts, stored.attributes(path, node)]).encode())
        size += len(found[-1])
        check_text(path, "attributes", size, limits.ATTRIBUTES)
    return b", ".join(found)


def _send(out: IO[bytes], named: Path, name: str, dataset: Any) -> None:
    """Send one dataset, a few rows at a time."""
    try:
        with reading(named, f"dataset {name!r}"):
            rows = len(dataset) if dataset.shape else 1
            step = max(1, CHUNK_BYTES // max(1, dataset.nbytes // max(1, rows)))
            chunks = (
                (dataset[start : start + step] for start in range(0, rows, step)) if dataset.shape else (dataset[()],)
            )
            first = True
            for chunk in chunks:
                out.write(b"+" if first else b"")
                out.write(np.ascontiguousarray(chunk).data if np.ndim(chunk) else np.asarray(chunk).tobytes())
                first = False
            out.write(b"+" if first else b"")
    except FileError as error:
        out.write(b"-" + json.dumps(_refusal(error)).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main()
