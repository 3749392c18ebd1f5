"""The rate of MLX's matrix product beside NumPy's, and the layer that it bounds: ``python benchmarks/mlx_walls.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from lcl_backends.layers._mlx_boxes import local
from lcl_ref.spec import Spec

SIDE = 512
LAYER = Spec(input_size=(55, 55), in_channels=16, out_channels=16, kernel_size=7, stride=2, bias="none")
BATCH = 32


def rate(work: Callable[[], Any], products: int) -> float:
    """Return multiply-adds per processor second, the best of five."""
    work()
    seconds = []
    for _ in range(5):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return products / min(seconds)


def main() -> None:
    """Print the rates."""
    draw = np.random.default_rng(0)
    square = draw.random((SIDE, SIDE), np.float32)
    x, weight, held = (
        mx.array(draw.random(s, np.float32)) for s in (LAYER.x_shape(BATCH), LAYER.weight_shape, (SIDE, SIDE))
    )
    rates = {
        "numpy, product of square matrices": rate(lambda: square @ square, SIDE**3),
        "mlx, product of square matrices": rate(lambda: mx.eval(held @ held), SIDE**3),
        "mlx.fast forward, DeepFace L5": rate(lambda: mx.eval(local(LAYER, x, weight)), BATCH * LAYER.connection_count),
    }
    for name, value in rates.items():
        print(f"{value / 1e9:7.2f} billion multiply-adds per second: {name}")


if __name__ == "__main__":
    main()
