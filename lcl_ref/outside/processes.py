"""Python processes of our own: none of them finds code in the current folder, and none outlives this one."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from lcl_ref.outside import guardian


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package; the current folder is not on its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """Return the variables for such a process: PYTHONPATH names folders from the root, and never the current one."""
    found: dict[str, str] = {**os.environ, **more}
    if found.get("PYTHONPATH"):
        parts = [part for part in found["PYTHONPATH"].split(os.pathsep) if part not in ("", ".")]
        found["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in parts)
    return found


class _Guardian:
    """The guardian of this process, started when there is first something to look after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def tell(self, line: bytes) -> None:
        """Send it one line; without a guardian nothing is lost but its care."""
        with self._lock, contextlib.suppress(OSError):
            if self._process is None or self._pid != os.getpid():
                self._pid, self._process = os.getpid(), self._started()
            assert self._process.stdin is not None
            os.write(self._process.stdin.fileno(), line)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 -- our own interpreter and module
            [sys.executable, "-I", "-S", str(Path(guardian.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """Let it end with this process."""
        if self._process is not None and self._pid == os.getpid():
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


_GUARDIAN = _Guardian()
atexit.register(_GUARDIAN.end)


def look_after(group: int, folder: Path) -> None:
    """Have a process group ended, and what has its temporary folder, should this process end without doing so."""
    _GUARDIAN.tell(b"+%d %b\n" % (group, os.fsencode(folder)))


def end(group: int, folder: Path) -> None:
    """End a process group, and whatever else has its temporary folder."""
    guardian.end(group, os.fsencode(folder))
    _GUARDIAN.tell(b"-%d\n" % group)
