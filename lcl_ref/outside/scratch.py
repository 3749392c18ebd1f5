"""Temporary files: one folder per process, gone with it; what a process that was killed left is removed by the next."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lcl_ref.errors import FileError, Violation
from lcl_ref.outside.writing import FULL

_PREFIX, _LOCK = "lcl-tmp-", ".lock"

_folders: dict[int, Path] = {}
"""Process -> its folder: a forked child has none of its own yet."""


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a new folder, which is removed afterwards.

    Raises
    ------
    FileError
        If there is no place for temporary files.
    """
    path = new_folder()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def new_folder() -> Path:
    """Return a new folder; whoever asked removes it, and the end of the process what is left."""
    with room():
        return Path(tempfile.mkdtemp(dir=_own()))


@contextmanager
def room() -> Iterator[None]:
    """Say of a temporary folder that is full, or cannot be written, that it is so."""
    try:
        yield
    except OSError as error:
        where = next(iter(_folders.values()), Path(tempfile.gettempdir() if error.errno in FULL else "TMPDIR"))
        got = FULL.get(error.errno or 0, str(error.strerror or error))
        todo = "make room, or name another folder in the variable TMPDIR"
        raise FileError(
            Violation("file/temporary", f"temporary folder {where}", got, "room for temporary files", todo=todo)
        ) from error


def _own() -> Path:
    """Return the folder of this process; a lock on a file in it tells others that it is in use."""
    if os.getpid() not in _folders:
        _sweep(Path(tempfile.gettempdir()))
        path = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        _folders[os.getpid()] = path
        new = path / f"{_LOCK}-new"
        fcntl.flock(os.open(new, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_EX)  # held until the end
        new.rename(path / _LOCK)  # where others look, once it is held
    return _folders[os.getpid()]


def _sweep(parent: Path) -> None:
    """Remove the folders of processes that are gone."""
    for path in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, in use, or removed by somebody else just now
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            handle = os.open(path / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


@atexit.register
def _remove_own() -> None:
    path = _folders.pop(os.getpid(), None)
    if path is not None:
        shutil.rmtree(path, ignore_errors=True)
