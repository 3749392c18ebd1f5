"""An HDF5 file, seen through the process that reads it: whatever the HDF5 library does there, this one lives on."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from lcl_ref.errors import FileError, Violation
from lcl_ref.files import limits
from lcl_ref.files.contents import Array, Tensor
from lcl_ref.files.untrusted import problem, reading
from lcl_ref.outside import processes

DEADLINE = 300.0
"""Seconds after which a reader that says nothing is ended."""


class Hdf5:
    """An open HDF5 file.

    Parameters
    ----------
    path : Path
        The file.
    named : Path, optional
        The file to blame, where `path` is a copy of a part of it.

    Attributes
    ----------
    groups : dict of str to dict
        Groups by path (the root is ``""``) with their attributes (`lcl_ref.files.hdf5.stored.attributes`).
    datasets : dict of str to (Tensor, dict)
        Datasets by path, with their attributes.
    """

    def __init__(self, path: Path, named: Path | None = None) -> None:
        self.path = named or path
        self._lock = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603  our own module
            processes.command("lcl_ref.files.hdf5.reader", str(path.resolve()), str(self.path), str(limits.times())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=processes.environment(),
        )
        try:
            with self._answer("an HDF5 file") as out, reading(self.path, "an HDF5 file"):
                found = json.loads(out.readline(3 * limits.of(limits.ATTRIBUTES)))
        except BaseException:
            self.close()
            raise
        self.groups: dict[str, dict[str, Any]] = dict(found["groups"])
        self.datasets: dict[str, tuple[Tensor, dict[str, Any]]] = {}
        for number, (name, shape, dtype, attributes) in enumerate(found["datasets"]):
            form = tuple(shape), np.dtype(dtype)
            tensor = Tensor(name, *form, partial(self._read, number, name, *form))
            self.datasets[name] = tensor, attributes

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was still to be sent, to a process that is gone
                pipe.close()
        self._process.wait()

    def _read(self, number: int, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        array = np.empty(shape, dtype)
        buffer = array.reshape(-1).view(np.uint8).data
        with self._lock, reading(self.path, f"dataset {name!r}"):
            assert self._process.stdin is not None
            self._process.stdin.write(b"%d\n" % number)
            self._process.stdin.flush()
            with self._answer(f"dataset {name!r}") as out:
                place = 0
                while place < len(buffer) and (got := out.readinto(buffer[place:])):  # type: ignore[attr-defined]
                    place += got
        if place < len(buffer):
            raise self._ended(f"dataset {name!r}")
        return array

    @contextmanager
    def _answer(self, what: str) -> Iterator[IO[bytes]]:
        """Yield the output of the process behind the sign of a good answer; raise what it refused."""
        out = self._process.stdout
        assert out is not None
        timer = threading.Timer(DEADLINE, self._process.kill)
        timer.start()
        try:
            sign = out.read(1)
            if sign == b"-":
                facts = json.loads(out.readline())
                violation = Violation(
                    facts["rule"], self.path.name, facts["got"], facts["expected"], todo=facts["todo"]
                )
                raise FileError(violation)
            if sign != b"+":
                raise self._ended(what)
            yield out
        finally:
            timer.cancel()

    def _ended(self, what: str) -> FileError:
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        got = f"the HDF5 library ended with {how}"
        return problem(self.path, "damaged", got, f"{what}, whole and undamaged")
