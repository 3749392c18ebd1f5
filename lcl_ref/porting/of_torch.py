"""Layers of `torch.nn`: kernels with their outputs first, channels before taps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lcl_ref.errors import LayoutError
from lcl_ref.files.contents import Array
from lcl_ref.layers.torch import _Local
from lcl_ref.porting.slots import (
    Arrays,
    Choices,
    Slot,
    convolution,
    dense,
    local,
    normalisation,
    only,
    recurrent,
    reordered,
    with_bias,
)
from lcl_ref.porting.stored import Layer, Misfit

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def flattens(_layer: Layer) -> str:
    """Return nothing: whether channels are moved last before `nn.Flatten` stands in the model's ``forward``."""
    return ""


def finished(model: nn.Module, _planned: Any) -> nn.Module:
    """Return the model, filled in place."""
    return model


def slots(model: nn.Module) -> Iterator[Slot]:
    """Yield the layers with parameters, in the order in which the model registers them."""
    for path, module in model.named_modules():
        held = {name: tensor for name, tensor in module.state_dict(keep_vars=True).items() if "." not in name}
        held.pop("num_batches_tracked", None)
        if held:
            shapes = {name: tuple(tensor.shape) for name, tensor in held.items()}
            epsilon = getattr(module, "eps", None) if isinstance(module, _NORMS) else None
            yield Slot(
                path or "model", shapes, partial(_arrays(module), module, shapes), partial(_put, held), epsilon, module
            )


def _put(held: Mapping[str, torch.Tensor], arrays: Mapping[str, Array]) -> None:
    with torch.no_grad():
        for name, array in arrays.items():
            held[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))


_Shapes = Mapping[str, tuple[int, ...]]


def _arrays(module: nn.Module) -> Callable[..., Arrays]:
    rules: Sequence[tuple[Any, Callable[..., Arrays]]] = (
        (nn.Linear, _linear),
        (_CONVOLUTIONS, _convolution),
        (_NORMS, _norm),
        (nn.Embedding, _embedding),
        (nn.RNNBase, _recurrent),
        (_Local, _local),
    )
    return next((rule for kinds, rule in rules if isinstance(module, kinds)), _own)


def _linear(_module: nn.Module, shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    kernel, bias = dense(layer, choices)
    return with_bias({"weight": kernel.T}, "bias", bias, shapes, kernel.dtype)


def _convolution(module: Any, shapes: _Shapes, layer: Layer, _choices: Choices) -> Arrays:
    if module.transposed:
        only(layer, *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)))
        found = layer.arrays()
        kernel, bias = found["kernel"], found.get("bias")  # (k*, co, ci)
    else:
        kernel, bias = convolution(layer)
    weight = np.moveaxis(kernel, (-1, -2), (0, 1))
    return with_bias({"weight": weight}, "bias", bias, shapes, kernel.dtype)


def _norm(_module: nn.Module, shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    only(layer, "BatchNormalization" if "running_mean" in shapes else "LayerNormalization")
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    whole = {names[role]: array for role, array in normalisation(layer, choices).items()}
    trivial = {"weight": not layer.settings.get("scale", True), "bias": not layer.settings.get("center", True)}
    return {name: array for name, array in whole.items() if name in shapes or not trivial.get(name)}


def _embedding(_module: nn.Module, _shapes: _Shapes, layer: Layer, _choices: Choices) -> Arrays:
    only(layer, "Embedding")
    return {"weight": layer.arrays()["embeddings"]}


_KINDS = {"LSTM": ("LSTM", (0, 1, 2, 3)), "GRU": ("GRU", (1, 0, 2)), "RNN_TANH": ("SimpleRNN", (0,))}
"""Mode of torch -> class of Keras, and where its gates stand there: i f c o are i f g o, and z r h are r z n."""


def _recurrent(module: Any, shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    if module.mode not in _KINDS or module.num_layers > 1 or getattr(module, "proj_size", 0):
        raise Misfit("one layer of several in a row, without a projection, expected one module for each")
    kind, order = _KINDS[module.mode]
    halves = recurrent(layer, kind, choices)
    if len(halves) != 1 + module.bidirectional:
        raise Misfit(f"{len(halves)} directions, in the model {1 + module.bidirectional}")
    found: Arrays = {}
    for half, suffix in zip(halves, ("_l0", "_l0_reverse"), strict=False):
        found[f"weight_ih{suffix}"] = reordered(half["kernel"], order).T
        found[f"weight_hh{suffix}"] = reordered(half["recurrent_kernel"], order).T
        bias = reordered(half["bias"], order) if "bias" in half else None
        inner, outer = (bias[0], bias[1]) if bias is not None and bias.ndim == 2 else (bias, None)
        with_bias(found, f"bias_ih{suffix}", inner, shapes, half["kernel"].dtype)
        with_bias(found, f"bias_hh{suffix}", outer, shapes, half["kernel"].dtype)
    return found


def _local(_module: nn.Module, shapes: _Shapes, layer: Layer, _choices: Choices) -> Arrays:
    weight, bias = local(layer, "canonical")
    return with_bias({"weight": weight}, "bias", bias, shapes, weight.dtype)


def _own(module: nn.Module, shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    """Fill a module of the user's own: the larger of its parameters is the weight."""
    only(layer, "LocallyConnected")
    if not choices.layout or len(shapes) > 2:
        raise Misfit(f"{type(module).__name__} keeps {dict(shapes)}; name its layout: layouts={{{layer.name!r}: ...}}")
    names = sorted(shapes, key=lambda name: (-len(shapes[name]), -int(np.prod(shapes[name]))))
    try:
        weight, bias = local(layer, choices.layout)
    except LayoutError as error:
        raise Misfit(str(error)) from error
    return with_bias({names[0]: weight}, names[1] if len(names) > 1 else "bias", bias, shapes, weight.dtype)
