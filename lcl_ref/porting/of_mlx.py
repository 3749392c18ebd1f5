"""Models of `mlx.nn`: kernels with their outputs first, channels last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from lcl_ref.files.contents import Array
from lcl_ref.layers.mlx import _Local
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

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm, nn.LayerNorm)


def flattens(_layer: Layer) -> str:
    """Return the order of MLX: its layers have the channels last."""
    return "channels_last"


def finished(model: nn.Module, _planned: Sequence[tuple[Slot, Arrays]]) -> nn.Module:
    """Return the model, filled in place."""
    return model


def slots(model: nn.Module) -> Iterator[Slot]:
    """Yield the layers with parameters, in the order in which the model holds them."""
    for path, module in reversed(list(model.named_modules())):
        held = {name: value for name, value in module.items() if isinstance(value, mx.array)}
        if held:
            shapes = {name: tuple(value.shape) for name, value in held.items()}
            epsilon = module.eps if isinstance(module, _NORMS) else None
            yield Slot(path or "model", shapes, partial(_rule(module), shapes), partial(_put, module), epsilon, module)


def _put(module: Any, arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        setattr(module, name, mx.array(np.ascontiguousarray(array)).astype(module[name].dtype))


_Shapes = Mapping[str, tuple[int, ...]]


def _rule(module: Any) -> Callable[..., Arrays]:
    rules: Sequence[tuple[Any, Callable[..., Arrays]]] = (
        (nn.Linear, _linear),
        (_CONVOLUTIONS, _convolution),
        (_NORMS, _norm),
        (nn.Embedding, _embedding),
        (nn.LSTM, _lstm),
        (nn.GRU, _gru),
        (_Local, _local),
    )
    return next((rule for kinds, rule in rules if isinstance(module, kinds)), _own)


def _linear(shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    kernel, bias = dense(layer, choices)
    return with_bias({"weight": kernel.T}, "bias", bias, shapes, kernel.dtype)


def _convolution(shapes: _Shapes, layer: Layer, _choices: Choices) -> Arrays:
    kernel, bias = convolution(layer)
    return with_bias({"weight": np.moveaxis(kernel, -1, 0)}, "bias", bias, shapes, kernel.dtype)


def _norm(shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    only(layer, "BatchNormalization" if "running_mean" in shapes else "LayerNormalization")
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return {names[role]: array for role, array in normalisation(layer, choices).items()}


def _embedding(_shapes: _Shapes, layer: Layer, _choices: Choices) -> Arrays:
    only(layer, "Embedding")
    return {"weight": layer.arrays()["embeddings"]}


def _one_way(layer: Layer, kind: str, choices: Choices) -> Arrays:
    halves = recurrent(layer, kind, choices)
    if len(halves) > 1:
        raise Misfit("two directions: fill one layer for each by hand")
    return halves[0]


def _lstm(shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    half = _one_way(layer, "LSTM", choices)
    found = {"Wx": half["kernel"].T, "Wh": half["recurrent_kernel"].T}
    return with_bias(found, "bias", half.get("bias"), shapes, half["kernel"].dtype)


def _gru(shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    """MLX has the gates r z n, and of the hidden state's biases that of n alone."""
    half, order = _one_way(layer, "GRU", choices), (1, 0, 2)
    found = {"Wx": reordered(half["kernel"], order).T, "Wh": reordered(half["recurrent_kernel"], order).T}
    inner = outer = None
    if "bias" in half:
        inner, outer = (reordered(bias, order) for bias in half["bias"])
        size = len(inner) // 3
        inner, outer = np.concatenate([(inner + outer)[: 2 * size], inner[2 * size :]]), outer[2 * size :]
    with_bias(found, "b", inner, shapes, half["kernel"].dtype)
    return with_bias(found, "bhn", outer, shapes, half["kernel"].dtype)


def _local(shapes: _Shapes, layer: Layer, _choices: Choices) -> Arrays:
    weight, bias = local(layer, "canonical")
    return with_bias({"weight": weight}, "bias", bias, shapes, weight.dtype)


def _own(shapes: _Shapes, layer: Layer, choices: Choices) -> Arrays:
    """Fill a module of the user's own, which keeps ``weight`` and ``bias``."""
    only(layer, "LocallyConnected")
    if not choices.layout and shapes.get("weight") != getattr(layer.local and layer.local.spec, "weight_shape", None):
        raise Misfit(f"it keeps {dict(shapes)}; name its layout: layouts={{{layer.name!r}: ...}}")
    weight, bias = local(layer, choices.layout)
    return with_bias({"weight": weight}, "bias", bias, shapes, weight.dtype)
