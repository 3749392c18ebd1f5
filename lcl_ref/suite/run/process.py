"""A worker process as the host sees it: messages with a deadline, and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import IO, Any

from lcl_ref.suite.run.loading import BackendRef

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
GRACE_SECONDS = 5.0
SHUTDOWN_SECONDS = 1.0
LAST_LINES = 3


class WorkerExited(Exception):  # noqa: N818 -- an event, reported as an outcome
    """The process ended before it said it was done."""


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
        self._folder = tempfile.TemporaryDirectory(prefix="lcl-", ignore_cleanup_errors=True)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lcl_ref.suite.run.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ
            | environment
            | dict.fromkeys(THREAD_VARIABLES, str(threads))
            | {"TMPDIR": self._folder.name},
            start_new_session=True,
        )
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._limits = limits
        self.take_up(ref, job)

    def take_up(self, ref: BackendRef, job: Job) -> None:
        """Give it a backend to load and what to do with it, after those before were done."""
        self.ref = ref
        line = json.dumps({"backend": ref.to_dict(), "limits": self._limits} | asdict(job))
        with contextlib.suppress(BrokenPipeError):
            self._pipe_in.write(line.encode() + b"\n")
            self._pipe_in.flush()

    @property
    def _pipe_in(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _read(self) -> None:
        """Move messages from the pipe to the queue; None marks the end of the stream."""
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # half a line, from a process that was killed
            for line in self._process.stdout:
                message = json.loads(line)
                message["data"] = self._process.stdout.read(message.pop("bytes"))
                self._messages.put(message)
        self._messages.put(None)

    def next_message(self, seconds: float) -> dict[str, Any]:
        """Return the next message.

        Raises
        ------
        TimedOut
            If none comes within `seconds`.
        WorkerExited
            If the process ended; the text says how, with its last words.
        """
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            raise TimedOut from None
        if message is None:
            raise WorkerExited(self._exit_description())
        return message

    def _exit_description(self) -> str:
        """Say how the process ended, with the last lines it wrote to stderr."""
        try:
            code = self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its output and went on running"
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._errors.close()
        self._folder.cleanup()
