"""The three products of a layer in torch, by the kernels of `triton_kernels`."""

from __future__ import annotations

import math
import threading
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.accelerators import kernel_tables, triton_kernels
from lcl_ref.layers.engines.accelerators.kernel_tables import Sizes
from lcl_ref.layers.engines.torch_route import route_of, wide

INTERPRET = bool(triton.knobs.runtime.interpret)
"""Whether Triton interprets kernels, by the variable ``TRITON_INTERPRET``, which counts when they are defined."""

ONE_AT_A_TIME = threading.Lock()
"""The interpreter counts programs in one place for all threads."""


def output(layer: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``y (n, o*, co)`` of ``x (n, i*, ci)``; the bias is added before the sum is rounded."""
    spec, batch = route_of(layer).spec, x.shape[0]
    size, y = kernel_tables.sizes(spec), _result(spec.y_shape(batch), x)
    shape = size.tied * batch, size.taps * size.group_channels, size.width
    given = y if bias is None else _given(bias)
    grid = size.own * size.groups
    operands = _given(x), _given(weight), given, y, *_forward_tables(spec, x.device)
    settings = {"BIAS": "none" if bias is None else spec.bias}
    _launch(triton_kernels.output, operands, _numbers(size, batch), grid, shape, x.dtype, settings)
    return y.to(x.dtype)


def input_gradient(layer: str, dy: Tensor, weight: Tensor) -> Tensor:
    """Return ``dx (n, i*, ci)`` of ``dy (n, o*, co)``: each number sums what has read it."""
    spec, batch = route_of(layer).spec, dy.shape[0]
    size, dx, tables = kernel_tables.sizes(spec), _result(spec.x_shape(batch), dy), kernel_tables.backward(spec)
    readers, (blocks, outputs) = tables.positions.shape[1], tables.outputs.shape
    channels = size.in_channels, size.out_channels, size.group_channels, tables.width
    numbers = batch, size.sites, size.positions, readers, blocks, outputs, *channels
    operands = _given(dy), _given(weight), dx, *_backward_tables(spec, dy.device)
    shape = batch, readers * outputs, tables.width
    _launch(triton_kernels.input_gradient, operands, numbers, size.sites * blocks, shape, dy.dtype, {})
    return dx.to(dy.dtype)


def weight_gradient(layer: str, x: Tensor, dy: Tensor) -> Tensor:
    """Return ``dw (o*, k*, cg, co)``, each number of which is written once."""
    spec, batch = route_of(layer).spec, x.shape[0]
    size, dw = kernel_tables.sizes(spec), _result(spec.weight_shape, dy)
    operands = _given(x), _given(dy), dw, *_forward_tables(spec, x.device)
    shape = size.taps * size.group_channels, size.tied * batch, size.width
    _launch(
        triton_kernels.weight_gradient, operands, _numbers(size, batch), size.own * size.groups, shape, dy.dtype, {}
    )
    return dw.to(dy.dtype)


def _given(operand: Tensor) -> Tensor:
    """Return an operand in order; the interpreter gets it wide, for its own widening loses subnormal bfloat16."""
    return operand.contiguous().to(_held(operand.dtype))


def _result(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return memory for a result; the interpreter gets it wide, for its own rounding to bfloat16 is toward zero."""
    return like.new_empty(shape, dtype=_held(like.dtype))


def _held(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that kernels see: products of half types are exact in float32, so widening changes no bit."""
    return wide(dtype) if INTERPRET else dtype


def _numbers(size: Sizes, batch: int) -> tuple[int, ...]:
    """Return the numbers of a layer in the order of the kernels."""
    places = size.sites, size.positions, size.tied, size.taps, size.groups
    return batch, *places, size.in_channels, size.out_channels, size.group_channels, size.width


def _launch(
    kernel: Any,
    operands: tuple[Tensor, ...],
    numbers: tuple[int, ...],
    count: int,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    settings: dict[str, Any],
) -> None:
    """Run `count` products of matrices ``(rows, inner) @ (inner, columns)``, each in tiles."""
    blocks = kernel_tables.blocks_of(count, *shape, interpreted=INTERPRET)
    tiles = triton.cdiv(shape[0], blocks.rows), triton.cdiv(shape[2], blocks.columns)
    sides = dict(zip(("COUNT", "ROWS", "INNER", "COLUMNS"), blocks, strict=True))
    wider = tl.float64 if dtype == torch.float64 else tl.float32
    programs = triton.cdiv(count, blocks.together) * math.prod(tiles)
    if programs:
        with ONE_AT_A_TIME if INTERPRET else nullcontext():
            kernel[(programs,)](*operands, *numbers, count, *tiles, **settings, WIDE=wider, **sides)


@lru_cache(kernel_tables.TABLES_KEPT)
def _forward_tables(spec: Spec, device: torch.device) -> tuple[Tensor, ...]:
    return _tensors(kernel_tables.forward(spec), device)


@lru_cache(kernel_tables.TABLES_KEPT)
def _backward_tables(spec: Spec, device: torch.device) -> tuple[Tensor, ...]:
    return _tensors(kernel_tables.backward(spec)[:4], device)


def _tensors(tables: tuple[Any, ...], device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(table)).to(device) for table in tables)
