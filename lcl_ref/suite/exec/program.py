"""A foreign program on the other end of two pipes: one line out, one line back, each with a deadline.

It only reads while an answer is due, so a flood fills the pipe and not the memory; whatever the program does, it ends
with its process group killed and its folder gone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from lcl_ref.outside import processes, scratch
from lcl_ref.suite.judge.outcome import Fault

MAX_LINE = 1 << 24
"""Bytes of one answer; larger results belong in a file."""

STOP_SECONDS = 2.0
"""How long a program may take to end after it was told to stop, or closed its output."""

_POLL_SECONDS = 0.05
_CHUNK = 1 << 16
_SHOWN = 120
_STDERR_TAIL = 2000
_STDERR_LINES = 3
_STDERR_READS = 16
"""Chunks of a stderr without end that are read for the sake of a message."""

_RUNNING: set[Program] = set()


@dataclass(frozen=True)
class Ending:
    """How a program took being told to stop.

    Parameters
    ----------
    status : int or None
        Exit status, negative for a signal; None where it had to be killed.
    leftover : bytes
        The start of what it wrote to stdout that no command asked for.
    """

    status: int | None
    leftover: bytes


class Program:
    """A running program.

    Parameters
    ----------
    argv : sequence of str
        The command; it runs in the current folder, with its temporary files sent to a private one.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self.folder = scratch.new_folder()
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- the command the user gave
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=os.environ | {"TMPDIR": str(self.folder)},
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise Fault("crash", f"the program does not start: {error}") from error
        self._stdin, self._stdout, self._stderr = map(_pipe, ("stdin", "stdout", "stderr"), [self._process] * 3)
        self._line, self._last_words = bytearray(), b""
        _RUNNING.add(self)
        processes.look_after(self._process.pid, self.folder)

    def ask(self, line: bytes, seconds: float) -> bytes:
        """Send one line and return the line that comes back, without its end.

        Raises
        ------
        Fault
            ``crash`` if the program ends or closes its output, ``timeout`` if nothing whole comes in time,
            ``malformed`` if a line is too long.
        """
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._stdout, selectors.EVENT_READ)
            waiting.register(self._stderr, selectors.EVENT_READ)
            waiting.register(self._stdin, selectors.EVENT_WRITE)
            left = memoryview(line)
            while b"\n" not in self._line:
                ready = waiting.select(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
                if not ready and self._process.poll() is not None:  # a child of its may hold the pipes open
                    raise Fault("crash", self._exit_description())
                if time.monotonic() >= deadline:
                    raise Fault("timeout", self._silence(seconds))
                for key, _ in ready:
                    if key.fileobj is self._stdin:
                        left = self._write(left)
                        if not left:
                            waiting.unregister(self._stdin)
                    elif key.fileobj is self._stderr:
                        self._listen_to_stderr(waiting)
                    elif not self._read():
                        raise Fault("crash", self._exit_description())
        answer, _, self._line = self._line.partition(b"\n")
        return bytes(answer)

    def _write(self, left: memoryview) -> memoryview:
        """Write as much as the pipe takes; a closed pipe shows on the reading side."""
        try:
            return left[os.write(self._stdin.fileno(), left) :]
        except BrokenPipeError:
            return left[:0]

    def _read(self) -> bool:
        """Take what there is on stdout; return whether it is still open."""
        chunk = os.read(self._stdout.fileno(), _CHUNK)
        if len(self._line) + len(chunk) > MAX_LINE and b"\n" not in chunk:
            raise Fault("malformed", f"stdout: a line of more than {MAX_LINE} bytes, starting with {cut(self._line)}")
        self._line += chunk
        return bool(chunk)

    def _listen_to_stderr(self, waiting: selectors.BaseSelector) -> None:
        chunk = os.read(self._stderr.fileno(), _CHUNK)
        if not chunk:
            waiting.unregister(self._stderr)
        self._last_words = (self._last_words + chunk)[-_STDERR_TAIL:]

    def _silence(self, seconds: float) -> str:
        text = f"no answer within {seconds:g} s"
        if self._line:
            text += f"; stdout holds {len(self._line)} bytes without an end of line, {cut(self._line)}"
        return text + self._said()

    def _exit_description(self) -> str:
        """Say how the program ended, with the last lines it wrote to stderr."""
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return "the program closed its output and went on running" + self._said()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        where = f" in the middle of a line, {cut(self._line)}" if self._line else ""
        return f"the program {how}{where}{self._said()}"

    def _said(self) -> str:
        """Return the last lines of stderr, as the end of a message."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_STDERR_READS):
                chunk = os.read(self._stderr.fileno(), _CHUNK)
                self._last_words = (self._last_words + chunk)[-_STDERR_TAIL:]
        lines = [line.strip() for line in self._last_words.decode(errors="replace").splitlines() if line.strip()]
        return f"; its stderr ends: {' / '.join(line[-_SHOWN:] for line in lines[-_STDERR_LINES:])}" if lines else ""

    def stop(self, line: bytes) -> Ending:
        """Send the last line, wait a little for the program to end, and clean up after it."""
        with contextlib.suppress(OSError):
            os.write(self._stdin.fileno(), line)
        with contextlib.suppress(OSError):
            self._stdin.close()
        leftover = bytes(self._line[:_SHOWN]) + self._drain(time.monotonic() + STOP_SECONDS)
        try:
            status: int | None = self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        return Ending(status, leftover[:_SHOWN])

    def _drain(self, deadline: float) -> bytes:
        """Read both outputs until the program has ended or the time is up; return the start of stdout."""
        head = b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._stdout, selectors.EVENT_READ)
            waiting.register(self._stderr, selectors.EVENT_READ)
            while waiting.get_map() and time.monotonic() < deadline:
                ready = waiting.select(_POLL_SECONDS)
                if not ready and self._process.poll() is not None:
                    break
                for key, _ in ready:
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        waiting.unregister(key.fileobj)
                    elif key.fileobj is self._stdout and len(head) < _SHOWN:
                        head += chunk
        return head

    def kill(self) -> None:
        """End the program and all of its process group, and remove its folder; harmless when repeated."""
        processes.end(self._process.pid, self.folder)
        self._process.wait()
        for pipe in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(OSError):
                pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        _RUNNING.discard(self)


def _pipe(name: str, process: subprocess.Popen[bytes]) -> IO[bytes]:
    """Return one pipe of a process, set to never block."""
    pipe: IO[bytes] = getattr(process, name)
    os.set_blocking(pipe.fileno(), False)
    return pipe


def cut(text: bytes | bytearray) -> str:
    """Return bytes as a quoted text, cut to the length of a message."""
    shown = repr(bytes(text[:_SHOWN]).decode(errors="replace"))
    return shown if len(text) <= _SHOWN else f"{shown}..."


@atexit.register
def kill_running() -> None:
    """End every program that this process started."""
    for program in list(_RUNNING):
        program.kill()
