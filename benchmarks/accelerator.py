"""The layer on an accelerator, beside the ways around it: ``python benchmarks/accelerator.py [--framework torch]``.

One prepared run: milliseconds of forward and of a training step (gradients and a step of plain descent), medians of
shuffled rounds, each waited for; and which share of the measured bandwidth the least traffic of that time is (weights
read once; in a step their gradient written, then both read and the weights written). Beside `lcl_ref.layers`, by every
plan that its device has: for torch, unfold + bmm and grouped convolution; for JAX, `conv_general_dilated_local` and
windows by one gather. Answers are compared with those of the first contestant, in its own dtype. Without an accelerator
it runs small layers on the processor, which proves the script and nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lcl_ref.bench.workloads import WORKLOADS, Workload
from lcl_ref.layers.engines.accelerators.plans import Plan, with_plan
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.run.loading import load, resolve

ROUNDS, SMALL = 11, 20_000_000
"""Rounds of a run; multiply-adds of the layers that a processor is given."""

RATE = 1e-3
"""Of the descent: small, so that weights stay of a size."""

Call = Callable[[], Any]


@dataclass
class Line:
    """What came of one contestant in one operation at one layer."""

    contestant: str
    workload: str
    dtype: str
    op: str
    milliseconds: float | None = None
    bandwidth_share: float | None = None
    differs_by: float | None = None
    message: str = ""


class Torch:
    """torch on the device it finds."""

    routes = ("torch.unfold", "torch.grouped_conv")

    def __init__(self) -> None:
        import torch  # noqa: PLC0415 -- only one framework is needed

        self.torch = torch
        found = (name for name in ("cuda", "mps", "xpu") if getattr(torch, name).is_available())
        self.device = next(found, "cpu")
        self.name = torch.cuda.get_device_name() if self.device == "cuda" else self.device

    def to_device(self, array: Any, dtype: str) -> Any:
        """Return a tensor of the dtype, there."""
        return self.torch.from_numpy(array).to(self.device, getattr(self.torch, dtype))

    def wait(self, result: Any) -> Any:
        """Return a result once it is there."""
        if self.device != "cpu":
            getattr(self.torch, self.device).synchronize()
        return result

    def layers(self) -> dict[str, Callable[..., Any]]:
        """Return ``spec -> (x, weight, bias) -> y`` by plan; the plan of the device comes first."""
        local = import_module("lcl_ref.layers.engines.torch").local
        plans = [None, Plan.LARGE, Plan.TILES] if self.device == "cpu" else [None, Plan.LARGE, Plan.FUSED]

        def by(plan: Plan | None) -> Callable[..., Any]:
            text = (lambda spec: spec.to_json()) if plan is None else (lambda spec: with_plan(spec.to_json(), plan))
            return lambda spec: lambda *operands: local(text(spec), *operands)

        return {f"lcl, {plan or 'chosen'}": by(plan) for plan in plans}

    def forward(self, function: Callable[..., Any], operands: list[Any]) -> Call:
        """Return the forward pass as a call."""

        def call() -> Any:
            with self.torch.no_grad():
                return function(*operands)

        return call

    def step(self, function: Callable[..., Any], operands: list[Any], dy: Any) -> Call:
        """Return gradients and a step of descent as a call; it gives the new weights."""
        moving = [operand.clone().requires_grad_() for operand in operands]

        def call() -> Any:
            gradients = self.torch.autograd.grad(function(*moving), moving, dy)
            with self.torch.no_grad():
                for parameter, gradient in zip(moving[1:], gradients[1:], strict=True):
                    parameter.sub_(gradient, alpha=RATE)
            return moving[1].detach()

        return call

    def copied(self, tensor: Any) -> Call:
        """Return a copy as a call."""
        return tensor.clone


class Jax:
    """JAX on the device it finds."""

    routes = ("jax.local", "jax.patches")

    def __init__(self) -> None:
        import jax  # noqa: PLC0415 -- only one framework is needed

        self.jax, self.device = jax, jax.default_backend()
        self.name = jax.devices()[0].device_kind

    def to_device(self, array: Any, dtype: str) -> Any:
        """Return an array of the dtype, there."""
        return self.jax.device_put(array.astype(FORMATS[dtype].dtype))

    def wait(self, result: Any) -> Any:
        """Return a result once it is there."""
        return self.jax.block_until_ready(result)

    def layers(self) -> dict[str, Callable[..., Any]]:
        """Return ``spec -> (x, weight, bias) -> y``."""
        engine = import_module("lcl_ref.layers.engines.jax")
        return {"lcl, chosen": lambda spec: lambda *operands: engine.local(spec, *operands)}

    def forward(self, function: Callable[..., Any], operands: list[Any]) -> Call:
        """Return the compiled forward pass as a call."""
        compiled = self.jax.jit(function)
        return lambda: compiled(*operands)

    def step(self, function: Callable[..., Any], operands: list[Any], dy: Any) -> Call:
        """Return the compiled gradients and step of descent as a call; it gives the new weights."""

        def descend(x: Any, *held: Any) -> Any:
            _, *gradients = self.jax.vjp(function, x, *held)[1](dy)
            return [(part - RATE * gradient).astype(part.dtype) for part, gradient in zip(held, gradients, strict=True)]

        compiled, state = self.jax.jit(descend), operands[1:]

        def call() -> Any:
            state[:] = compiled(operands[0], *state)
            return state[0]

        return call

    def copied(self, tensor: Any) -> Call:
        """Return a copy as a call."""
        compiled = self.jax.jit(lambda array: array + 1)
        return lambda: compiled(tensor)


FRAMEWORKS = {"torch": Torch, "jax": Jax}


def milliseconds(framework: Any, call: Call) -> float:
    """Return the time of one call, waited for."""
    began = time.perf_counter()
    framework.wait(call())
    return 1e3 * (time.perf_counter() - began)


def bandwidth(framework: Any) -> float:
    """Return the bytes per millisecond that copies move, read and written."""
    elements = (1 << 28) if framework.device != "cpu" else 1 << 24
    call = framework.copied(framework.to_device(np.ones(elements, np.float32), "float32"))
    framework.wait(call())
    return 8 * elements / statistics.median(milliseconds(framework, call) for _ in range(ROUNDS))


def contestants(framework: Any, workload: Workload, operands: list[Any]) -> dict[str, tuple[Any, list[Any]]]:
    """Return functions and what they take by name: the layer, and the routes of adapters with their own weights."""
    spec = workload.spec
    found = {name: (make(spec), operands) for name, make in framework.layers().items()}
    for name in framework.routes:
        adapter = load(resolve([name])[0])
        if adapter.declaration.capabilities.refusal(spec, "float32", "forward") is None:
            found[name] = adapter, operands
    return found


def calls(framework: Any, workload: Workload, dtype: str) -> dict[tuple[str, str], Call]:
    """Return a call per contestant and operation."""
    stream = np.random.default_rng(0)
    shapes = workload.spec.operand_shapes(workload.batch)
    arrays = {name: stream.random(shape, np.float32) - np.float32(0.5) for name, shape in shapes.items()}
    x, weight, bias, dy = (framework.to_device(array, dtype) for array in arrays.values())
    made = {}
    for name, (route, operands) in contestants(framework, workload, [x, weight, bias]).items():
        function, given = route, operands
        if name in framework.routes:
            layer = route.prepare(workload.spec, arrays["weight"], arrays["bias"], "float32")
            held = [framework.to_device(np.ascontiguousarray(layer.to_numpy(part)), dtype) for part in layer.held]
            function, given = layer.apply, [x, *held]
        made[name, "forward"] = framework.forward(function, given)
        made[name, "step"] = framework.step(function, given, dy)
    return made


def as_numpy(framework: Any, result: Any) -> Any:
    """Return a result in float64."""
    wide = result.double().cpu() if isinstance(framework, Torch) else np.asarray(result, np.float64)
    return np.asarray(wide)


def measure(framework: Any, workload: Workload, dtype: str, rate: float, rounds: int) -> list[Line]:
    """Return a line per contestant and operation."""
    made = calls(framework, workload, dtype)
    lines = {key: Line(key[0], workload.name, dtype, key[1]) for key in made}
    first: dict[str, Any] = {}
    for key, call in list(made.items()):
        try:
            answer = framework.wait(call())
        except Exception as error:  # noqa: BLE001 -- a route may fail on a device in any way; the others go on
            lines[key].message = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            del made[key]
            continue
        if key[1] == "forward":
            answer = as_numpy(framework, answer)
            lines[key].differs_by = float(np.abs(answer - first.setdefault("y", answer)).max(initial=0))
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in made}
    for _ in range(rounds):
        for key in random.sample(list(made), len(made)):
            taken[key].append(milliseconds(framework, made[key]))
    size = FORMATS[dtype].dtype.itemsize * math.prod(workload.spec.weight_shape)
    for key, times in taken.items():
        least = size * (5 if key[1] == "step" else 1)
        lines[key].milliseconds = statistics.median(times)
        lines[key].bandwidth_share = least / statistics.median(times) / rate
    return list(lines.values())


def main(words: list[str]) -> None:
    """Print the table, and write it where ``--json`` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", choices=FRAMEWORKS, action="append")
    parser.add_argument("--workload", action="append", choices=[workload.name for workload in WORKLOADS])
    parser.add_argument("--dtype", action="append", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(words)
    found = []
    for framework in [FRAMEWORKS[name]() for name in given.framework or FRAMEWORKS]:
        rate = bandwidth(framework)
        print(f"{type(framework).__name__} on {framework.name}: copies move {rate / 1e6:.0f} GB/s")
        small = framework.device == "cpu" and not given.workload
        chosen = [
            w for w in WORKLOADS if (w.name in given.workload if given.workload else not small or w.products < SMALL)
        ]
        for workload in chosen:
            for dtype in given.dtype or ["float32", "bfloat16"]:
                lines = measure(framework, workload, dtype, rate, given.rounds)
                found += [{"device": framework.name} | asdict(line) for line in lines]
                for line in lines:
                    said = line.message or f"{line.milliseconds:9.3f} ms {100 * (line.bandwidth_share or 0):5.1f} %"
                    print(f"{line.workload:14} {line.dtype:8} {line.op:8} {line.contestant:20} {said}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
