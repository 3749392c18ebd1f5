"""One backend in a process of its own (``python -m lcl_ref.bench.child REF THREADS``), serving JSON lines.

Requests are ``["prepare", workload name, factor]``, ``["time", op, clock]``, ``["error"]``,
``["memory", op]``, ``["drop"]``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.bench.machine import flush_caches, keep_to, rest, turn
from lcl_ref.bench.session import TRAIN
from lcl_ref.bench.spot_check import worst_error
from lcl_ref.bench.workloads import SERIES, WORKLOADS, Workload
from lcl_ref.errors import LclError
from lcl_ref.suite.adapter import Adapter
from lcl_ref.suite.run.loading import BackendRef, load
from lcl_ref.suite.run.worker import availability
from lcl_ref.suite.to_numpy import to_numpy

LINE_BYTES = 64

RATE = 1e-3
"""Of the descent: small, so that weights stay of a size."""


class Bench:
    """An adapter, and the layer it is timed at."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._layer: Any = None
        self._operands: dict[str, Any] = {}

    def prepare(self, name: str, factor: int) -> dict[str, Any]:
        """Drop the last layer and make this one; say why not, where it is not supported."""
        self.drop()
        self._workload = find(name, factor)
        spec = self._workload.spec
        for op in ("forward", "vjp"):
            refusal = self._adapter.declaration.capabilities.refusal(spec, "float32", op)
            if refusal is not None:
                return {"refused": refusal}
        self._operands = operands(self._workload)
        self._layer = self._adapter.prepare(spec, self._operands["weight"], self._operands["bias"], "float32")
        return {}

    def drop(self) -> dict[str, Any]:
        """Give the layer's memory back."""
        self._layer, self._operands = None, {}
        return {}

    def call(self, op: str) -> dict[str, Any]:
        """Run forward or a training step, and return its results, computed for certain."""
        x, dy = self._operands["x"], self._operands["dy"]
        if op == "forward":
            return {"y": done(self._layer.forward(x))}
        first = {} if self._adapter.declaration.vjp_computes_output else {"y": done(self._layer.forward(x))}
        dx, dw, db = map(done, self._layer.vjp(x, dy))
        return first | {"dx": dx, "dw": dw, "db": db}

    def train(self) -> None:
        """Make a step with an optimiser: forward, gradients, and plain descent on the weights that the layer holds."""
        done(self._layer.descend(self._operands["x"], self._operands["dy"], RATE))

    def time(self, op: str, clock: str) -> dict[str, Any]:
        """Return the seconds of a turn, warm and cold; nothing where the layer cannot do that."""
        if op == TRAIN and not hasattr(self._layer, "descend"):
            return {}
        work = self.train if op == TRAIN else partial(self.call, op)
        return {"seconds": turn(work, clock), "cold": turn(work, clock, flush_caches)}

    def error(self) -> dict[str, Any]:
        """Return the worst sampled error / limit of output and gradients."""
        results = self.call("forward") | self.call("step")
        arrays = {name: to_numpy(results[name]) for name in ("y", "dx", "dw")}
        return {"error_ratio": worst_error(self._workload.spec, self._operands, arrays)}

    def memory(self, op: str) -> dict[str, Any]:
        """Return the bytes one call holds at most beyond its results; None where the system does not tell.

        The output is a result of a step too, whether or not the backend hands it out.
        """
        before = resident("VmRSS") if forget_peak() else None
        results = self.call(op)
        peak = resident("VmHWM")
        if before is None or peak is None:
            return {"extra_bytes": None}
        output = {"y": self._operands["dy"]}
        held = sum(to_numpy(result).nbytes for result in (output | results).values() if result is not None)
        return {"extra_bytes": max(0, peak - before - held)}


def find(name: str, factor: int) -> Workload:
    """Return a workload by name, or a member of a scaling series."""
    return SERIES[name](factor) if factor else next(workload for workload in WORKLOADS if workload.name == name)


def operands(workload: Workload) -> dict[str, Any]:
    """Return x, weight, bias and dy, uniform in ``+-0.5``, the same in every process.

    Each begins at a cache line, as arrays that a framework makes do: some frameworks copy one that does not.
    """
    stream = np.random.default_rng(0)
    shapes = workload.spec.operand_shapes(workload.batch)
    return {name: _uniform(stream, shape) for name, shape in shapes.items()}


def _uniform(stream: np.random.Generator, shape: tuple[int, ...]) -> Any:
    size = 4 * math.prod(shape)
    memory = np.empty(size + LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % LINE_BYTES
    array = memory[start : start + size].view(np.float32).reshape(shape)
    stream.random(out=array, dtype=np.float32)
    array -= np.float32(0.5)
    return array


def done(result: Any) -> Any:
    """Wait for a result that a framework returns before it is computed."""
    return result.block_until_ready() if hasattr(result, "block_until_ready") else result


def family(adapter: Adapter) -> str:
    """Return what an adapter runs on: adapters of one family are each other's peers. Empty if it does not say."""
    declaration = adapter.declaration
    return declaration.family or "".join(module.split(".")[0] for module in declaration.modules[:1])


def forget_peak() -> bool:
    """Give freed memory back to the system, and make it count the peak of what is resident from now on (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return True
    return False


def resident(field: str) -> int | None:
    """Return a line of ``/proc/self/status`` in bytes, or None where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
    return None


def main() -> None:
    """Serve requests until stdin ends; what the backend prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def send(facts: dict[str, Any]) -> None:
        channel.write(json.dumps(facts) + "\n")

    keep_to(int(sys.argv[2]))
    try:
        adapter = load(BackendRef(**json.loads(sys.argv[1])))
    except LclError as error:  # a file whose framework is not installed
        send({"refused": str(error)})
        return
    os.environ.update(adapter.declaration.environment)
    state, message = availability(adapter.declaration.modules, adapter.declaration.without)
    facts = {"family": family(adapter), "holds": adapter.declaration.holds}
    send(facts | ({} if state == "present" else {"refused": message}))
    bench = Bench(adapter)
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": bench.prepare,
        "drop": bench.drop,
        "time": bench.time,
        "error": bench.error,
        "memory": bench.memory,
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = requests[name](*arguments)
        except Exception as error:  # noqa: BLE001 -- a layer may raise anything; the host reports it
            answer = {"refused": f"{type(error).__name__}: {error}"}
        rest()
        send(answer)


if __name__ == "__main__":
    main()
