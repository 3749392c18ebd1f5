"""One framework in a process of its own: it answers one question at a time, and is ended by the session if it is late.

Questions are ``("group", workload, dtype)``, ``("check", contestant, op)`` and ``("time", contestant, op)``. An answer
is a dictionary; with ``refused`` in it, it is the reason why there is none.
"""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from lcl_ref.bench.child import find, operands
from lcl_ref.bench.spot_check import worst_error
from lcl_ref.bench.workloads import Workload
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import accumulation_of
from tools.on_device.frameworks import Call, Contestant, Framework, least_bytes

COPIES = 11
"""Copies that the bandwidth is the median of."""

LONGEST = 4000
"""Characters that are kept of an error."""

OUT_OF_MEMORY = ("out of memory", "OutOfMemory", "RESOURCE_EXHAUSTED", "MemoryError")


class Group:
    """The contestants at one workload in one dtype."""

    def __init__(self, framework: Framework, workload: Workload, dtype: str) -> None:
        self._framework, self._workload, self._dtype = framework, workload, dtype
        rounded = {name: array.astype(FORMATS[dtype].dtype) for name, array in operands(workload).items()}
        self._arrays: Mapping[str, Any] = {name: array.astype(np.float32) for name, array in rounded.items()}
        self._makes = framework.contestants(workload.spec)
        self._calls: dict[tuple[str, str], Call] = {}

    @property
    def names(self) -> list[str]:
        """Who takes part."""
        return list(self._makes)

    def check(self, name: str, op: str) -> dict[str, Any]:
        """Return the largest error, as a share of its limit, among some numbers of what a contestant computes."""
        contestant, given = self._made(name)
        accumulation = accumulation_of(self._dtype, "forward" if op == "forward" else "vjp", contestant.accumulation)
        if op == "forward":
            y = self._framework.wait(self._framework.forward(contestant.function, given)())
            found = {"y": self._framework.to_numpy(y)}
        else:
            dy = self._framework.to_device(self._arrays["dy"], self._dtype)
            gradients = self._framework.wait(self._framework.gradients(contestant.function, given, dy)())
            dx, *own = map(self._framework.to_numpy, gradients)
            dw = np.asarray(contestant.canonical(own)).reshape(self._workload.spec.weight_shape)
            found = {"dx": dx, "dw": dw}
        spec, form = self._workload.spec, FORMATS[self._dtype]
        return {"error_ratio": worst_error(spec, self._arrays, found, form, accumulation)}

    def time(self, name: str, op: str) -> dict[str, Any]:
        """Return the time of one call, waited for, and how much of its traffic cannot be avoided."""
        call = self._calls.get((name, op)) or self._prepared(name, op)
        least = least_bytes(self._workload.spec, self._dtype, op)
        return {"milliseconds": milliseconds(self._framework, call), "least_bytes": least}

    def _prepared(self, name: str, op: str) -> Call:
        """Return a call that was made before, so that it is compiled."""
        contestant, given = self._made(name)
        if op == "forward":
            call = self._framework.forward(contestant.function, given)
        else:
            dy = self._framework.to_device(self._arrays["dy"], self._dtype)
            call = self._framework.step(contestant.function, given, dy)
        self._framework.wait(call())
        self._calls[name, op] = call
        return call

    def _made(self, name: str) -> tuple[Contestant, list[Any]]:
        contestant = self._makes[name](self._workload.spec, self._arrays["weight"], self._arrays["bias"])
        return contestant, [
            self._framework.to_device(part, self._dtype) for part in (self._arrays["x"], *contestant.held)
        ]


def milliseconds(framework: Framework, call: Call) -> float:
    """Return the time of one call, waited for."""
    began = time.perf_counter()
    framework.wait(call())
    return 1e3 * (time.perf_counter() - began)


def bandwidth(framework: Framework) -> float:
    """Return the bytes per second that copies move, read and written."""
    elements = (1 << 28) if framework.device != "cpu" else 1 << 24
    call = framework.copied(framework.to_device(np.ones(elements, np.float32), "float32"))
    framework.wait(call())
    return 8e3 * elements / statistics.median(milliseconds(framework, call) for _ in range(COPIES))


class Server:
    """What is asked, in the framework that a dotted name stands for."""

    def __init__(self, name: str) -> None:
        module, _, attribute = name.partition(":")
        self._framework: Framework = getattr(import_module(module), attribute)()
        self._group: Group | None = None

    def greeting(self) -> dict[str, Any]:
        """Return what the framework runs on."""
        facts = self._framework.facts() | {"on_processor": self._framework.device == "cpu"}
        return facts | {"bytes_per_second": bandwidth(self._framework)}

    def answer(self, kind: str, *words: str) -> dict[str, Any]:
        """Return the answer to a question."""
        if kind == "group":
            self._group = None
            self._framework.forget()
            self._group = Group(self._framework, find(words[0], 0), words[1])
            return {"contestants": self._group.names}
        assert self._group is not None
        asked: Callable[[str, str], dict[str, Any]] = {"check": self._group.check, "time": self._group.time}[kind]
        return asked(*words)


def serve(connection: Any, name: str) -> None:
    """Answer until the session hangs up, or until an error after which a device may not be what it was."""
    try:
        server = Server(name)
        connection.send(server.greeting())
    except Exception as error:  # noqa: BLE001 -- a framework may be missing, or find a device that it cannot use
        connection.send(_refusal(error))
        return
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        try:
            connection.send(server.answer(*question))
        except Exception as error:  # noqa: BLE001 -- a contestant may fail in any way; the others go on
            connection.send(_refusal(error))
            if not _is_out_of_memory(error):
                return


def _is_out_of_memory(error: Exception) -> bool:
    return any(word in f"{type(error).__name__}: {error}" for word in OUT_OF_MEMORY)


def _refusal(error: Exception) -> dict[str, Any]:
    trace = "".join(traceback.format_exception(error))
    return {"refused": f"{type(error).__name__}: {error}"[:LONGEST], "traceback": trace[-LONGEST:]}
