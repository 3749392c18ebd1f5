"""The channel from a worker process to the host: lines of JSON, with as many bytes behind each as it announces.

Every line begins with a mark that only the two ends know, so nothing that a layer writes is taken for a message; the
host takes no message for more than it was asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import time
from collections.abc import Iterator
from typing import IO, Any

from lcl_ref.outside.documents import parsed
from lcl_ref.outside.text import cleaned, shown
from lcl_ref.suite import schema
from lcl_ref.suite.judge.transport import MOST_BYTES as MOST_ANSWER

SCHEMA = "lcl-worker-1"

MOST_LINE = 1 << 25
"""Bytes of a line."""

MOST_BYTES = 8 * MOST_ANSWER
"""Bytes behind a line: three results, and as many that differ when asked again."""

ANSWER = "answer"
"""The event that is checked where it is judged, since there are thousands of it."""

_FORK_SECONDS = 0.3

_LEAST_DESCRIPTOR = 200
"""Layers close and write to low descriptors by mistake: the channel has a high one."""


class Garbled(Exception):  # noqa: N818 -- an event, reported as an outcome
    """Something came through the channel that is no message."""


def moved_away(descriptor: int) -> int:
    """Return a private duplicate of a descriptor that no child inherits, at a high number that changes."""
    least = _LEAST_DESCRIPTOR + secrets.randbelow(_LEAST_DESCRIPTOR)
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError:  # few descriptors are allowed here
        return os.dup(descriptor)


class Sender:
    """The worker's end.

    Parameters
    ----------
    descriptor : int
        Where messages go.
    mark : bytes
        How each begins.
    """

    def __init__(self, descriptor: int, mark: bytes) -> None:
        self._out, self._mark = os.fdopen(descriptor, "wb"), mark
        self._process = os.getpid()
        pipe = os.pipe()
        self._came_back, self._tell = map(moved_away, pipe)
        for end in pipe:
            os.close(end)
        os.set_blocking(self._came_back, False)

    def __call__(self, event: str, data: bytes = b"", /, **facts: Any) -> None:
        """Send a message; a process that a layer forked ends here, and the worker says so in place of its next one."""
        if os.getpid() != self._process:
            os.write(self._tell, b"!")
            os._exit(1)
        if self._forked():
            event, data, facts = "forked", b"", {}
        self._out.write(self._mark + json.dumps({"event": event, "bytes": len(data)} | facts).encode() + b"\n" + data)
        self._out.flush()

    def wait_for_forks(self) -> None:
        """Wait a little for processes that a layer left behind: one of them may be about to come back."""
        deadline = time.monotonic() + _FORK_SECONDS
        with contextlib.suppress(ChildProcessError):  # there are none
            while time.monotonic() < deadline:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if select.select([self._came_back], [], [], _FORK_SECONDS / 10)[0]:
                    return

    def _forked(self) -> bool:
        try:
            return bool(os.read(self._came_back, 1))
        except BlockingIOError:
            return False


def messages(stream: IO[bytes], mark: bytes) -> Iterator[dict[str, Any]]:
    """Yield the messages of a worker, each with its bytes as ``data``, until the stream ends.

    Raises
    ------
    Garbled
        At the first line that is none.
    """
    while line := stream.readline(MOST_LINE):
        message = _message(line, mark)
        message["data"] = stream.read(message.pop("bytes"))
        yield message


def _message(line: bytes, mark: bytes) -> dict[str, Any]:
    if not line.startswith(mark):
        start = line[:80].decode(errors="replace")
        raise Garbled(f"something else than the suite wrote to its channel: {shown(start)}")
    if not line.endswith(b"\n"):
        raise Garbled("the channel was cut off in the middle of a message")
    try:
        message = parsed(line.removeprefix(mark), MOST_LINE)
        schema.validate(message, SCHEMA, "message")
        if message["event"] != ANSWER:
            schema.validate(message, SCHEMA, message["event"])
            message = cleaned(message)
    except (ValueError, RecursionError) as error:
        raise Garbled(f"the process of the layer sent no message: {shown(error)}") from error
    if message["bytes"] > MOST_BYTES:
        raise Garbled(f"the process of the layer announced {message['bytes']} bytes, at most {MOST_BYTES} are read")
    found: dict[str, Any] = message
    return found
