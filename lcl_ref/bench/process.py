"""A backend under measurement as the host sees it: a process that answers one request at a time, and may be lost."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import threading
from typing import Any

from lcl_ref.bench import published
from lcl_ref.outside import processes, scratch
from lcl_ref.suite.adapter import Holds
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.process import THREAD_VARIABLES

START_SECONDS = 180.0


class BackendProcess:
    """A running `lcl_ref.bench.child`; close it after use.

    Parameters
    ----------
    ref : BackendRef
        The backend.
    threads : int
        Threads its numerical libraries may use.
    """

    def __init__(self, ref: BackendRef, threads: int) -> None:
        self._ref, self._threads = ref, threads
        self._start()

    def _start(self) -> None:
        self._folder = scratch.new_folder()
        self._process = subprocess.Popen(  # noqa: S603 -- this package's own module
            processes.command("lcl_ref.bench.child", json.dumps(self._ref.to_dict()), str(self._threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=processes.environment(
                dict.fromkeys(THREAD_VARIABLES, str(self._threads))
                | published.environment()
                | {"TMPDIR": str(self._folder)}
            ),
            text=True,
            start_new_session=True,
        )
        processes.look_after(self._process.pid, self._folder)
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=_read, args=(self._process, self._answers), daemon=True).start()
        greeting = self._next(START_SECONDS)
        self.refusal, self.family = str(greeting.get("refused", "")), str(greeting.get("family", ""))
        self.holds: Holds = greeting.get("holds", "windows")

    def ask(self, seconds: float, *request: Any) -> dict[str, Any]:
        """Return the answer or ``{"refused": why}``; a late process is ended, and started for the next request."""
        if self._process.poll() is not None:
            self._start()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._next(seconds)

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.close()
            return {"refused": f"no answer within {seconds:g} s"}
        if answer is None:
            code = self._process.wait()
            return {"refused": f"the process ended with status {code}"}
        return answer

    def close(self) -> None:
        """End the process, and remove the temporary files it left."""
        processes.end(self._process.pid, self._folder)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                assert pipe is not None
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(process: subprocess.Popen[str], answers: queue.Queue[dict[str, Any] | None]) -> None:
    """Move answers from the pipe to the queue; None marks the end."""
    assert process.stdout is not None
    with contextlib.suppress(ValueError):  # half a line, or a pipe closed while it is read
        for line in process.stdout:
            answers.put(json.loads(line))
    answers.put(None)
