"""Who takes part in torch and in JAX, and what each framework is asked: arrays there and back, calls, a wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.accelerators.plans import Plan, with_plan
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.run.loading import load, resolve

RATE = 1e-3
"""Of the descent: small, so that weights stay of a size."""

Call = Callable[[], Any]


@dataclass
class Contestant:
    """A layer with weights: ``function(x, *held) -> y``.

    Attributes
    ----------
    held : list of numpy.ndarray
        What it keeps of weight and bias, as it keeps them.
    canonical : callable
        The gradients of `held`, as arrays, -> ``dw (o*, k*, cg, co)``.
    accumulation : mapping
        In which formats it says that it sums, as `Capabilities.accumulation`.
    """

    function: Callable[..., Any]
    held: list[Any]
    canonical: Callable[[Sequence[Any]], Any]
    accumulation: Mapping[str, str] = field(default_factory=dict)


Make = Callable[[Spec, Any, Any], Contestant]
"""Makes a contestant of a layer, its weight and bias."""


class Framework(Protocol):
    """What a session asks of a framework."""

    device: str

    def facts(self) -> dict[str, Any]:
        """Return what the device is called, and versions."""

    def contestants(self, spec: Spec) -> dict[str, Make]:
        """Return who takes part at a layer."""

    def to_device(self, array: Any, dtype: str) -> Any:
        """Return an array of the dtype, there."""

    def to_numpy(self, result: Any) -> Any:
        """Return a result as an array of float32."""

    def wait(self, result: Any) -> Any:
        """Return a result once it is there."""

    def forward(self, function: Callable[..., Any], operands: Sequence[Any]) -> Call:
        """Return the forward pass as a call."""

    def gradients(self, function: Callable[..., Any], operands: Sequence[Any], dy: Any) -> Call:
        """Return the gradients of all operands as a call."""

    def step(self, function: Callable[..., Any], operands: Sequence[Any], dy: Any) -> Call:
        """Return gradients and a step of descent as a call."""

    def copied(self, tensor: Any) -> Call:
        """Return a copy as a call."""

    def forget(self) -> None:
        """Give back what memory is kept."""


def of_plans(layers: Mapping[str, Callable[[Spec], Callable[..., Any]]]) -> dict[str, Make]:
    """Return contestants of functions that take the canonical weight and bias."""

    def by(function_of: Callable[[Spec], Callable[..., Any]]) -> Make:
        return lambda spec, weight, bias: Contestant(function_of(spec), [weight, bias], lambda given: given[0])

    return {name: by(function_of) for name, function_of in layers.items()}


def of_routes(names: Sequence[str], spec: Spec) -> dict[str, Make]:
    """Return those of the adapters by these names that support a layer, as contestants."""
    found: dict[str, Make] = {}
    for name in names:
        adapter = load(resolve([name])[0])
        if adapter.declaration.capabilities.refusal(spec, "float32", "forward") is None:
            found[name] = _of_adapter(adapter)
    return found


def _of_adapter(adapter: Any) -> Make:
    def make(spec: Spec, weight: Any, bias: Any) -> Contestant:
        layer = adapter.prepare(spec, weight, bias, "float32")
        held = [np.ascontiguousarray(layer.to_numpy(part)) for part in layer.held]

        def canonical(given: Sequence[Any]) -> Any:
            return layer.canonical([layer.to_native(array) for array in given])[0]

        return Contestant(layer.apply, held, canonical, adapter.declaration.capabilities.accumulation)

    return make


class Torch:
    """torch on the device it finds; float32 is not rounded to TF32."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415 -- only one framework is needed

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self._torch = torch
        found = (name for name in ("cuda", "mps", "xpu") if getattr(torch, name).is_available())
        self.device = next(found, "cpu")

    def facts(self) -> dict[str, Any]:
        """Return what the device is called, and versions."""
        torch, cuda = self._torch, self.device == "cuda"
        name = torch.cuda.get_device_name() if cuda else self.device
        versions = {"torch": torch.__version__, "CUDA": torch.version.cuda, "ROCm": torch.version.hip}
        try:
            versions["triton"] = import_module("triton").__version__
        except ImportError:
            versions["triton"] = None
        return {"device": name, "versions": versions}

    def contestants(self, spec: Spec) -> dict[str, Make]:
        """Return the layer by each plan of the device, its own choice first, unfold + bmm and grouped convolution."""
        local = import_module("lcl_ref.layers.engines.torch").local
        plans = [None, Plan.LARGE, Plan.TILES] if self.device == "cpu" else [None, Plan.LARGE, Plan.FUSED]

        def by(plan: Plan | None) -> Callable[[Spec], Callable[..., Any]]:
            def function_of(spec: Spec) -> Callable[..., Any]:
                text = spec.to_json() if plan is None else with_plan(spec.to_json(), plan)
                return lambda *operands: local(text, *operands)

            return function_of

        layers = {f"lcl, {plan or 'chosen'}": by(plan) for plan in plans}
        return of_plans(layers) | of_routes(["torch.unfold", "torch.grouped_conv"], spec)

    def to_device(self, array: Any, dtype: str) -> Any:
        """Return a tensor of the dtype, there."""
        return self._torch.from_numpy(np.require(array, requirements="W")).to(self.device, getattr(self._torch, dtype))

    def to_numpy(self, result: Any) -> Any:
        """Return a result as an array of float32."""
        return result.detach().float().cpu().numpy()

    def wait(self, result: Any) -> Any:
        """Return a result once it is there."""
        if self.device != "cpu":
            getattr(self._torch, self.device).synchronize()
        return result

    def forward(self, function: Callable[..., Any], operands: Sequence[Any]) -> Call:
        """Return the forward pass as a call."""

        def call() -> Any:
            with self._torch.no_grad():
                return function(*operands)

        return call

    def gradients(self, function: Callable[..., Any], operands: Sequence[Any], dy: Any) -> Call:
        """Return the gradients of all operands as a call."""
        moving = [operand.clone().requires_grad_() for operand in operands]
        return lambda: self._torch.autograd.grad(function(*moving), moving, dy)

    def step(self, function: Callable[..., Any], operands: Sequence[Any], dy: Any) -> Call:
        """Return gradients and a step of descent as a call."""
        moving = [operand.clone().requires_grad_() for operand in operands]

        def call() -> Any:
            gradients = self._torch.autograd.grad(function(*moving), moving, dy)
            with self._torch.no_grad():
                for parameter, gradient in zip(moving[1:], gradients[1:], strict=True):
                    parameter.sub_(gradient, alpha=RATE)

        return call

    def copied(self, tensor: Any) -> Call:
        """Return a copy as a call."""
        return tensor.clone  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Give back what memory is kept."""
        if self.device != "cpu":
            getattr(self._torch, self.device).empty_cache()


class Jax:
    """JAX on the device it finds; float32 is not rounded to TF32."""

    def __init__(self) -> None:
        import jax  # noqa: PLC0415 -- only one framework is needed

        jax.config.update("jax_default_matmul_precision", "highest")
        self._jax, self.device = jax, jax.default_backend()

    def facts(self) -> dict[str, Any]:
        """Return what the device is called, and versions."""
        device = self._jax.devices()[0]
        versions = {"jax": self._jax.__version__, "platform": device.client.platform_version}
        return {"device": device.device_kind, "versions": versions}

    def contestants(self, spec: Spec) -> dict[str, Make]:
        """Return the layer, `conv_general_dilated_local`, and windows by one gather."""
        engine = import_module("lcl_ref.layers.engines.jax")
        layers = {"lcl, chosen": lambda spec: lambda *operands: engine.local(spec, *operands)}
        return of_plans(layers) | of_routes(["jax.local", "jax.patches"], spec)

    def to_device(self, array: Any, dtype: str) -> Any:
        """Return an array of the dtype, there."""
        return self._jax.device_put(array.astype(FORMATS[dtype].dtype))

    def to_numpy(self, result: Any) -> Any:
        """Return a result as an array of float32."""
        return np.asarray(result).astype(np.float32)

    def wait(self, result: Any) -> Any:
        """Return a result once it is there."""
        return self._jax.block_until_ready(result)

    def forward(self, function: Callable[..., Any], operands: Sequence[Any]) -> Call:
        """Return the compiled forward pass as a call."""
        compiled = self._jax.jit(function)
        return lambda: compiled(*operands)

    def gradients(self, function: Callable[..., Any], operands: Sequence[Any], dy: Any) -> Call:
        """Return the compiled gradients of all operands as a call."""
        compiled = self._jax.jit(lambda *given: self._jax.vjp(function, *given)[1](dy))
        return lambda: compiled(*operands)

    def step(self, function: Callable[..., Any], operands: Sequence[Any], dy: Any) -> Call:
        """Return the compiled gradients and step of descent as a call."""

        def descend(x: Any, dy: Any, *held: Any) -> Any:
            dx, *gradients = self._jax.vjp(function, x, *held)[1](dy)
            moved = zip(held, gradients, strict=True)
            return dx, [(part - RATE * gradient).astype(part.dtype) for part, gradient in moved]

        compiled, state = self._jax.jit(descend), list(operands[1:])

        def call() -> Any:
            dx, state[:] = compiled(operands[0], dy, *state)
            return dx, state

        return call

    def copied(self, tensor: Any) -> Call:
        """Return a copy as a call."""
        compiled = self._jax.jit(lambda array: array + 1)
        return lambda: compiled(tensor)

    def forget(self) -> None:
        """Give back what memory is kept: nothing is."""


def least_bytes(spec: Spec, dtype: str, op: str) -> int:
    """Return what must be moved at least: weights read once; in a step their gradient too, and both once more."""
    weight = FORMATS[dtype].dtype.itemsize * math.prod(spec.weight_shape)
    return weight * (5 if op == "step" else 1)
