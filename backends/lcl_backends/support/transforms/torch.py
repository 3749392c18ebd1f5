"""Layers on torch under `torch.func`, a second backward pass, `torch.compile` and `torch.export`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcl_backends.support.transforms.transformed import Function, Run, TransformedLayer

if TYPE_CHECKING:
    import torch

COMPILER = "aot_eager"
"""Traces both passes and runs the graphs without generating code, which would take a minute."""


class TorchTransforms(TransformedLayer):
    """What torch makes of the functions of a layer."""

    def pushed_forward(self, operands: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """Use dual numbers, by `torch.func.jvp`."""
        import torch

        y, y_dot, *_ = torch.func.jvp(self.apply, tuple(_detached(operands)), tuple(_detached(tangents)))
        return y, y_dot

    def pulled_back(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        """Use `torch.func.vjp`."""
        import torch

        found: Sequence[Any] = torch.func.vjp(self.apply, *operands)[1](cotangent)
        return found

    def pulled_back_twice(self, operands: Sequence[Any], cotangent: Any, tangents: Sequence[Any]) -> Sequence[Any]:
        """Differentiate a backward pass whose graph is kept."""
        import torch

        moving = [tensor.clone().requires_grad_() for tensor in _detached([cotangent, *operands])]
        dy, *inputs = moving
        gradients = torch.autograd.grad(self.apply(*inputs), inputs, dy, create_graph=True)
        return torch.autograd.grad(gradients, moving, _detached(tangents), materialize_grads=True)

    def mapped_over(self, function: Function, axes: Sequence[int | None]) -> Function:
        """Use `torch.vmap`."""
        import torch

        mapped = torch.vmap(function, in_dims=tuple(axes))

        def run(*operands: Any) -> Any:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="There is a performance drop")  # where torch maps by a loop
                return mapped(*_detached(operands))

        return run

    def stacked(self, tensors: Sequence[Any], axis: int) -> Any:
        """Use `torch.stack`."""
        import torch

        return torch.stack(_detached(tensors), axis)

    def modes(self) -> Mapping[str, Callable[[Function], Function]]:
        """Compile."""
        import torch

        return {f"compiled by torch.compile ({COMPILER})": lambda function: torch.compile(function, backend=COMPILER)}

    def compiled(self) -> dict[str, Run]:
        """Return the layer compiled; gradients come from the compiled function, by autograd."""
        import torch

        torch._dynamo.reset()  # noqa: SLF001 -- after eight layers it would run the next ones as they are
        return {words: Run(self, mode(self.apply), _gradient(mode(self.apply))) for words, mode in self.modes().items()}

    def stored_and_loaded(self, x: Any) -> Function:
        """Use `torch.export`."""
        import torch

        layer = self

        class Module(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.held = torch.nn.ParameterList(_detached(layer.held))

            def forward(self, x: torch.Tensor) -> Any:
                return layer.apply(x, *self.held)

        file = io.BytesIO()
        torch.export.save(torch.export.export(Module(), (x,)), file)
        file.seek(0)
        loaded: Function = torch.export.load(file).module()
        return lambda x: loaded(x).detach()


def _gradient(function: Function) -> Function:
    """Return the gradients in all operands of a function."""

    def gradient(cotangent: Any, *operands: Any) -> Sequence[Any]:
        import torch

        inputs = [tensor.clone().requires_grad_() for tensor in _detached(operands)]
        return torch.autograd.grad(function(*inputs), inputs, cotangent)

    return gradient


def _detached(tensors: Sequence[Any]) -> list[Any]:
    return [tensor.detach() for tensor in tensors]
