"""A worker process as the host sees it: messages with a deadline, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import IO, Any

from lcl_ref.outside import processes, scratch
from lcl_ref.suite.judge.outcome import ErrorKind
from lcl_ref.suite.run.channel import Garbled, messages
from lcl_ref.suite.run.loading import BackendRef

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
GRACE_SECONDS = 5.0
SHUTDOWN_SECONDS = 1.0
LAST_LINES = 3
LAST_BYTES = 1 << 13
"""How much is kept of what a process says on stderr."""

LISTEN_SECONDS = 0.5


class WorkerExited(Exception):  # noqa: N818 -- an event, reported as an outcome
    """The process ended, or had to be ended, before it said it was done."""

    kind: ErrorKind = "crash"


class SentGarbage(WorkerExited):
    """Something came from the process that is no message."""

    kind: ErrorKind = "malformed"


class Forked(WorkerExited):
    """A process that the layer forked came back from it, and went on as if it were the worker; which is still there."""

    kind: ErrorKind = "exception"

    def __init__(self) -> None:
        super().__init__("forked: a process that the layer started by fork came back from it")


class TimedOut(Exception):  # noqa: N818 -- an event, reported as an outcome
    """No message came before the deadline."""


@dataclass(frozen=True)
class Job:
    """What a worker does with its backend: a module of `lcl_ref.suite` and the arguments of its ``serve``."""

    module: str
    arguments: dict[str, Any]


class Worker:
    """A running worker with a job, and others after it.

    Parameters
    ----------
    ref : BackendRef
        The backend it loads.
    job : Job
        What it does with the backend.
    threads : int
        Threads its numerical libraries may use.
    limits : dict of str to float
        Seconds a program that it starts may take, as the fields of `Limits`.
    environment : mapping of str to str
        Variables that it starts with, besides those of this process.
    """

    def __init__(
        self,
        ref: BackendRef,
        job: Job,
        threads: int,
        limits: dict[str, float],
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = scratch.new_folder()
        own = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"TMPDIR": str(self._folder)}
        self._process = subprocess.Popen(  # noqa: S603 -- our own module
            processes.command("lcl_ref.suite.run.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=processes.environment({**environment, **own}),
            start_new_session=True,
        )
        processes.look_after(self._process.pid, self._folder)
        self._last_words, self._mark = bytearray(), secrets.token_hex(8).encode() + b" "
        self._messages: queue.Queue[dict[str, Any] | WorkerExited | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._listener = threading.Thread(target=self._listen_to_stderr, daemon=True)
        self._listener.start()
        self._limits = limits
        self._write(self._mark)
        self.take_up(ref, job)

    def take_up(self, ref: BackendRef, job: Job) -> None:
        """Give it a backend to load and what to do with it, after those before were done."""
        self.ref = ref
        self._write(json.dumps({"backend": ref.to_dict(), "limits": self._limits} | asdict(job)).encode())

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe_in.write(line + b"\n")
            self._pipe_in.flush()

    @property
    def _pipe_in(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        """Move messages from the pipe to the queue; None marks the end of the stream."""
        assert self._process.stdout is not None
        try:
            for message in messages(self._process.stdout, self._mark):
                self._messages.put(message)
        except Garbled as error:
            self._messages.put(SentGarbage(f"ended: {error}"))
        except ValueError:  # the pipe was closed while it was read
            pass
        finally:
            self._messages.put(None)

    def _listen_to_stderr(self) -> None:
        """Keep the last of what the process says on stderr, however much it is."""
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):  # closed while it was read
            while chunk := os.read(self._process.stderr.fileno(), 1 << 16):
                self._last_words += chunk
                del self._last_words[:-LAST_BYTES]

    def next_message(self, seconds: float) -> dict[str, Any]:
        """Return the next message.

        Raises
        ------
        TimedOut
            If none comes within `seconds`.
        WorkerExited
            If the process ended, or sent what is no message; the text says how, with its last words.
        Forked
            If a process that the layer forked came back, in place of a message; others follow.
        """
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            raise TimedOut from None
        if message is None:
            raise WorkerExited(self._exit_description())
        if isinstance(message, WorkerExited):
            raise message
        if message["event"] == "forked":
            raise Forked
        return message

    def _exit_description(self) -> str:
        """Say how the process ended, with the last lines it wrote to stderr."""
        try:
            code = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its output and went on running"
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        self._listener.join(LISTEN_SECONDS)  # a child of its may hold the pipe open
        lines = [line for line in bytes(self._last_words).decode(errors="replace").splitlines() if line.strip()]
        return f"{how}: {' / '.join(lines[-LAST_LINES:])}" if lines else how

    def close(self) -> None:
        """End the process and everything it started; harmless when it has ended already.

        Its input is closed first: that tells a worker to end the program it watches over, which is in a process group
        of its own, and itself.
        """
        with contextlib.suppress(OSError):
            self._pipe_in.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SHUTDOWN_SECONDS)
        processes.end(self._process.pid, self._folder)
        self._process.kill()
        self._process.wait()
        self._listener.join(LISTEN_SECONDS)
        self._reader.join(LISTEN_SECONDS)
        # A pipe that somebody still holds, and a thread still reads, would not close before both let it go.
        readable = (self._process.stdout,) if not self._reader.is_alive() else ()
        for pipe in (self._process.stdin, self._process.stderr, *readable):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)
