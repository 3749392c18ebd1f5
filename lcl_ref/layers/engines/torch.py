"""The layer as one differentiable function of torch, by the way that `torch_route` chooses."""

from __future__ import annotations

import torch
from torch import Tensor

from lcl_ref.layers.engines.accelerators.plans import Plan, plan_of, torch_plan, with_plan, without_plan
from lcl_ref.layers.engines.kernel import NARROW
from lcl_ref.layers.engines.torch_at_once import at_once, one_product
from lcl_ref.layers.engines.torch_autograd import Output, applied, transformed
from lcl_ref.layers.engines.torch_kernel import NUMBERED, layer_of
from lcl_ref.layers.engines.torch_route import Way, route_of


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
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export() or traced:
        return at_once(route_of(without_plan(layer)), x, weight, bias)
    chosen = layer.startswith("{")
    if chosen:
        layer = with_plan(layer, torch_plan(device, is_complex=weight.is_complex()))
    if not torch.compiler.is_compiling():  # the compiler does not look into the choice; it takes the way of all sizes
        route, fused = route_of(layer), plan_of(layer) is Plan.FUSED
        way = route.way(x.shape[0], x.dtype)
        wider = route.outputs > NARROW
        if way is Way.ONE_PRODUCT and (chosen or not fused) and (wider or not _kernel_serves(layer, x)):
            return one_product(route, x, weight, bias)
        if way is Way.AT_ONCE and not (fused or _kernel_serves(layer, x)):
            return at_once(route, x, weight, bias)
    return applied(Output, layer, x, weight, bias)


def _kernel_serves(layer: str, x: Tensor) -> bool:
    """Return whether the compiled kernel computes a layer of any size; a map of torch's would call it often."""
    return x.dtype in NUMBERED and x.is_cpu and not transformed() and layer_of(layer) is not None
