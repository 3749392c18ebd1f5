"""The layer as one differentiable function of torch, by the way that `torch_route` chooses."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from lcl_ref.layers.engines.accelerators.plans import Plan, plan_of, torch_plan, with_plan, without_plan
from lcl_ref.layers.engines.kernel import NARROW
from lcl_ref.layers.engines.torch_at_once import at_once, one_product
from lcl_ref.layers.engines.torch_autograd import Output, applied, transformed
from lcl_ref.layers.engines.torch_kernel import NUMBERED, layer_of
from lcl_ref.layers.engines.torch_route import ROUTES_KEPT, Route, Way, route_of


def local(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)`` with canonical weight and bias; under autocast, in its dtype.

    `layer` is `Spec.to_json` of the layer: text is what operators of torch take. Its plan follows from the device,
    unless it is given with one (`lcl_ref.layers.engines.accelerators.plans`). Differentiable to any order in x,
    weight and bias. Where a graph is exported (`torch.export`, `torch.jit.trace`, ONNX), operators of torch's own stand
    in for those of this package, which the other side would not know.
    """
    device = x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):  # torch refuses to say for meta tensors
        dtype = torch.get_autocast_dtype(device)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if torch.compiler.is_exporting() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return at_once(route_of(without_plan(layer)), x, weight, bias)
    if torch.compiler.is_compiling():  # the compiler does not look into the choice; it takes the way of all sizes
        return applied(Output, _planned(layer, device, is_complex=weight.is_complex()), x, weight, bias)
    choice = _choice(layer, device, weight.dtype, x.dtype, int(x.shape[0]))
    if choice.instead is not None and not (choice.unless_kernel and _kernel_serves(choice.layer, x)):
        return choice.instead(choice.route, x, weight, bias)
    return applied(Output, choice.layer, x, weight, bias)


class _Choice(NamedTuple):
    """What is made of a layer, of operands of some kinds and so many samples."""

    layer: str
    """With its plan."""

    route: Route
    instead: Callable[[Route, Tensor, Tensor, Tensor | None], Tensor] | None
    """What is called in place of the products of this package, if anything is."""

    unless_kernel: bool
    """Whether the compiled kernel comes first, where it serves."""


@lru_cache(ROUTES_KEPT)
def _choice(layer: str, device: str, weight_dtype: torch.dtype, dtype: torch.dtype, batch: int) -> _Choice:
    """Return the choice, made before as a rule: it would take longer than a small layer."""
    planned = _planned(layer, device, is_complex=weight_dtype.is_complex)
    route, fused, given = route_of(planned), plan_of(planned) is Plan.FUSED, not layer.startswith("{")
    way = route.way(batch, dtype)
    if way is Way.ONE_PRODUCT and not (fused and given):
        return _Choice(planned, route, one_product, unless_kernel=route.outputs <= NARROW)
    return _Choice(planned, route, at_once if way is Way.AT_ONCE and not fused else None, unless_kernel=True)


def _planned(layer: str, device: str, *, is_complex: bool) -> str:
    """Return a layer with its plan: that of the device, unless it is given with one."""
    return with_plan(layer, torch_plan(device, is_complex=is_complex)) if layer.startswith("{") else layer


def _kernel_serves(layer: str, x: Tensor) -> bool:
    """Return whether the compiled kernel computes a layer of any size; a map of torch's would call it often."""
    return x.dtype in NUMBERED and x.is_cpu and not transformed() and layer_of(layer) is not None
