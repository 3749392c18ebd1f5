"""A session: who is asked what, until when, and what is kept of it. A broken contestant costs no other its time."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.on_device.child import serve

START_SECONDS = 120.0

OPS = ("forward", "step")

LATE = "not asked: time is up"


@dataclass
class Line:
    """What came of one contestant in one operation at one workload; without a time, the message says why."""

    framework: str
    device: str
    workload: str
    dtype: str
    op: str
    contestant: str
    error_ratio: float | None = None
    milliseconds: float | None = None
    rounds: list[float] = field(default_factory=list)
    bandwidth_share: float | None = None
    message: str = ""
    traceback: str = ""


class Asked:
    """A framework in a process of its own, started again where it was lost.

    Parameters
    ----------
    framework : str
        ``module:attribute``.
    limit : float
        Seconds that an answer may take.
    """

    def __init__(self, framework: str, limit: float) -> None:
        self._framework, self._limit = framework, limit
        self._group: tuple[str, ...] = ()
        self.facts = self._start()

    def _start(self) -> dict[str, Any]:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._framework), daemon=True)
        self._process.start()
        theirs.close()
        return self._next(START_SECONDS)

    def group(self, workload: str, dtype: str) -> dict[str, Any]:
        """Begin with a workload in a dtype."""
        self._group = ("group", workload, dtype)
        return self._send(self._group) if self._process.is_alive() else self._again()

    def ask(self, *question: str) -> dict[str, Any]:
        """Return the answer or ``{"refused": why}``."""
        began = {} if self._process.is_alive() else self._again()
        return began if "refused" in began else self._send(question)

    def _again(self) -> dict[str, Any]:
        self.close()
        greeting = self._start()
        return greeting if "refused" in greeting else self._send(self._group)

    def _send(self, question: tuple[str, ...]) -> dict[str, Any]:
        try:
            self._connection.send(question)
        except OSError:
            return {"refused": "the process ended before it was asked"}
        return self._next(self._limit)

    def _next(self, seconds: float) -> dict[str, Any]:
        """Return the next answer; who is late or has refused for good is ended, and started for the next question."""
        try:
            if not self._connection.poll(seconds):
                self.close()
                return {"refused": f"no answer within {seconds:g} s"}
            answer: dict[str, Any] = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(5)
            return {"refused": f"the process ended with status {self._process.exitcode}"}
        if "refused" in answer:
            self._process.join(1)  # it ends by itself, unless it was short of memory only
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def lines_of(asked: Asked, name: str, workload: str, dtype: str, rounds: int, until: float) -> Iterator[Line]:
    """Yield a line per contestant and operation; what is wrong is not timed, and turns are shuffled."""
    late = time.monotonic() > until
    begun = {"refused": LATE} if late else asked.group(workload, dtype)
    device, rate = asked.facts["device"], asked.facts["bytes_per_second"]
    if "refused" in begun:
        yield Line(name, device, workload, dtype, "both", "all", message=begun["refused"])
        return
    lines = [Line(name, device, workload, dtype, op, each) for each in begun["contestants"] for op in OPS]
    for line in lines:
        _checked(line, asked, until)
    for _ in range(rounds):
        for line in random.sample(lines, len(lines)):
            if not line.message and time.monotonic() < until:
                answer = asked.ask("time", line.contestant, line.op)
                line.message, line.traceback = answer.get("refused", ""), answer.get("traceback", "")
                line.rounds += [answer["milliseconds"]] if not line.message else []
                least = answer.get("least_bytes", 0)
                if line.rounds:
                    line.milliseconds = statistics.median(line.rounds)
                    line.bandwidth_share = 1e3 * least / line.milliseconds / rate
    yield from lines


def _checked(line: Line, asked: Asked, until: float) -> None:
    """Note the error of a contestant, and if it may not be timed, why."""
    if time.monotonic() > until:
        line.message = LATE
        return
    answer = asked.ask("check", line.contestant, line.op)
    line.message, line.traceback = answer.get("refused", ""), answer.get("traceback", "")
    line.error_ratio = answer.get("error_ratio")
    if line.error_ratio is not None and not line.error_ratio <= 1:
        line.message = f"wrong: its error is {line.error_ratio:.3g} times its limit"
