"""Every way of MLX to multiply the matrices of a layer, beside NumPy's: ``python benchmarks/mlx_roofline.py``.

A row of DeepFace L5: for each of its positions, windows ``(32, 784)`` times weights ``(784, 16)``. Set
``OPENBLAS_NUM_THREADS=1``, for NumPy's sake.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from lcl_ref.core.spec import Spec
from lcl_ref.layers.engines.mlx import local

SIDE = 512
LAYER = Spec(input_size=(55, 55), in_channels=16, out_channels=16, kernel_size=7, stride=2, bias="none")
BATCH, POSITIONS = 32, LAYER.output_size[1]


def rate(work: Callable[[], Any], products: int) -> float:
    """Return multiply-adds per processor second, the best of five."""
    work()
    seconds = []
    for _ in range(5):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return products / min(seconds)


def by_sums(weights: Any, windows: Any) -> list[Any]:
    """Return the products ``(p, k, co), (p, k, n) -> co, n`` as sums over k, a position at a time.

    One operation for all positions would write all products to memory, and takes five times as long.
    """
    return [(weight[:, :, None] * window[:, None, :]).sum(0) for weight, window in zip(weights, windows, strict=True)]


def contractions(windows: Any, weights: Any) -> dict[str, Callable[[], Any]]:
    """Return the ways to ``(p, n, k), (p, k, co) -> (p, n, co)``, or its transpose: some like the batch last."""
    last = mx.contiguous(windows.swapaxes(-1, -2))
    flat, kernels = windows.swapaxes(0, 1).reshape(BATCH, 1, -1), weights.swapaxes(-1, -2).reshape(-1, 1, LAYER.fan_in)
    index, first = mx.arange(POSITIONS).astype(mx.uint32), mx.zeros((POSITIONS, BATCH, LAYER.out_channels))
    flat, kernels = mx.contiguous(flat), mx.contiguous(kernels)
    mx.eval(last, flat, kernels, index, first)
    return {
        "numpy matmul": lambda: np.asarray(windows) @ np.asarray(weights),
        "mx.matmul": lambda: windows @ weights,
        "mx.matmul, batch last": lambda: weights.swapaxes(-1, -2) @ last,
        "mx.einsum": lambda: mx.einsum("pnk,pkf->pnf", windows, weights),
        "mx.addmm": lambda: mx.addmm(first, windows, weights),
        "mx.gather_mm": lambda: mx.gather_mm(windows, weights, lhs_indices=index, rhs_indices=index),
        "mx.block_masked_mm": lambda: mx.block_masked_mm(windows, weights, 32),
        "mx.conv_general, a group per position": lambda: mx.conv_general(flat, kernels, groups=POSITIONS),
        "products by *, then mx.sum": lambda: by_sums(weights, last),
    }


def main() -> None:
    """Print the rates."""
    draw = np.random.default_rng(0)
    square = draw.random((SIDE, SIDE), np.float32)
    shapes = (LAYER.x_shape(BATCH), LAYER.weight_shape, (SIDE, SIDE), (POSITIONS, BATCH, LAYER.fan_in))
    x, weight, held, windows = (mx.array(draw.random(shape, np.float32)) for shape in shapes)
    row = mx.contiguous(weight[0].reshape(POSITIONS, LAYER.fan_in, LAYER.out_channels))
    rates = {
        "numpy, product of square matrices": rate(lambda: square @ square, SIDE**3),
        "mlx, product of square matrices": rate(lambda: mx.eval(held @ held), SIDE**3),
        "mlx.fast forward, DeepFace L5": rate(lambda: mx.eval(local(LAYER, x, weight)), BATCH * LAYER.connection_count),
    }
    products = windows.size * LAYER.out_channels
    for name, work in contractions(windows, row).items():
        rates[f"a row of the layer, {name}"] = rate(lambda work=work: mx.eval(work()), products)
    for name, value in rates.items():
        print(f"{value / 1e9:7.2f} billion multiply-adds per second: {name}")


if __name__ == "__main__":
    main()
