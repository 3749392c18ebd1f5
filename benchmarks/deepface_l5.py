"""The fast route of NumPy at DeepFace's L5 layer, beside torch.unfold: time, and NumPy's working memory.

Contestants alternate inside one run; medians and spread are printed. The aims: forward at most 1.2 times torch.unfold,
working memory (beyond operands and result) under 10 MB.
"""

import argparse
import statistics
import time
import tracemalloc

import numpy as np

from lcl_ref.core import batched
from lcl_ref.core.spec import Spec
from lcl_ref.suite.run.loading import load, resolve

L5 = Spec(input_size=(55, 55), in_channels=16, out_channels=16, kernel_size=7, stride=2)
BATCH = 32


def working_memory(operands: dict[str, np.ndarray]) -> int:
    """Return the bytes NumPy holds at most during one forward call, beyond operands and result."""
    tracemalloc.start()
    y = batched.forward(L5, operands["x"], operands["weight"], operands["bias"])
    peak = tracemalloc.get_traced_memory()[1] - y.nbytes
    tracemalloc.stop()
    return peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    shapes = {"x": L5.x_shape(BATCH), "weight": L5.weight_shape, "bias": L5.bias_shape, "dy": L5.y_shape(BATCH)}
    stream = np.random.default_rng(5)
    operands = {name: stream.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    names = ("numpy.matmul", "torch.unfold", "torch.fast")
    layers = {
        name: load(*resolve([name])).prepare(L5, operands["weight"], operands["bias"], "float32") for name in names
    }
    calls = {
        "forward": lambda layer: layer.forward(operands["x"]),
        "vjp": lambda layer: layer.vjp(operands["x"], operands["dy"]),
    }
    for op, call in calls.items():
        seconds = {name: [] for name in names}
        for _ in range(rounds):
            for name, layer in layers.items():
                began = time.perf_counter()
                call(layer)
                seconds[name].append(time.perf_counter() - began)
        base = statistics.median(seconds["torch.unfold"])
        for name, taken in seconds.items():
            median = statistics.median(taken)
            spread = f"{min(taken) * 1e3:.1f} to {max(taken) * 1e3:.1f}"
            print(f"{op:8} {name:13} {median * 1e3:7.1f} ms ({spread}), {median / base:.2f} times torch.unfold")
    print(f"working memory of numpy.matmul forward: {working_memory(operands) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
