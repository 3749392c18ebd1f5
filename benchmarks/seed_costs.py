"""What the source documents claim of cost, beside what is counted and measured here.

    python benchmarks/seed_costs.py [--quick]

Counts (parameters, products, bytes saved for the backward pass) are exact. Seconds are the best of several runs of one
forward and backward pass on one thread: orders of magnitude, on whatever machine this is. Needs torch.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

import lcl_ref as lcl
from lcl_ref.suite.identities.identity import system

BATCH, WIDTH = 128, 16
Layer = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Print every claim and its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only, one run each")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    repeats = 1 if quick else 5
    blocks_claims((8, 32) if quick else (8, 32, 128), repeats)
    parameter_claims()
    product_claims((20,) if quick else (20, 200), repeats)
    position_claims(repeats)


def report(claim: str, verdict: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a claim, what is left of it, and the numbers."""
    print(f"\nclaim    {claim}\nverdict  {verdict}")
    table = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def best(function: Callable[[], Any], repeats: int) -> float:
    """Return the fewest milliseconds of several runs, after one that is not counted."""
    function()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return round(min(seconds) * 1000, 2)


def saved_bytes(forward: Callable[[], torch.Tensor]) -> int:
    """Return the bytes autograd keeps for the backward pass, each storage once."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = forward()
    del y
    return sum(kept.values())


def both_ways(layer: Layer, x: torch.Tensor) -> None:
    """Apply the layer and find the gradients of its parameters."""
    layer(x).sum().backward()


class PostedLoop(nn.Module):
    """The loop of the thread, for a batch: its results are written into a buffer one by one."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, blocks*WIDTH) -> (n, blocks*WIDTH)``."""
        y = torch.zeros(len(x), len(self.layers), WIDTH)
        for block, layer in enumerate(self.layers):
            y[:, block] = layer(x[:, block * WIDTH : (block + 1) * WIDTH])
        return y.flatten(1)


def blocks_claims(counts: Sequence[int], repeats: int) -> None:
    """Print time and memory of the block-diagonal layer as blocks grow: the loop is slow, the mask fast but large."""
    routes = {"loop": "torch.loop", "masked": "torch.masked", "grouped": "torch.grouped_conv", "bmm": "torch.unfold"}
    rows = []
    for count in counts:
        spec = lcl.Spec(
            input_size=(), kernel_size=(), in_channels=count * WIDTH, out_channels=count * WIDTH, groups=count
        )
        x = torch.randn(BATCH, count * WIDTH)
        posted = PostedLoop(count)
        rows.append(row("loop as posted", count, posted, x, repeats))
        arrays = [np.ones(shape, np.float32) for shape in (spec.weight_shape, spec.bias_shape, spec.y_shape(BATCH))]
        for name, registered in routes.items():
            layer = system(registered).prepare(spec, *arrays[:2], "float32")
            inputs = x.clone().requires_grad_()
            rows.append(row(name, count, partial(_called, layer), inputs, repeats))
    report(
        "the loop is slow because it is sequential; the masked layer is much faster, but holds more memory (S1)",
        "the mask wins at few blocks only: its work grows with their square; the posted loop writes in place, and its "
        "backward pass is quadratic as well; grouped and batched products are linear in time and memory",
        ("route", "blocks", "forward+backward ms", "saved KiB"),
        rows,
    )


def _called(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """Return y of a prepared layer, in torch."""
    y: torch.Tensor = layer.apply(x, *layer.held)
    return y


def row(name: str, count: int, layer: Layer, x: torch.Tensor, repeats: int) -> tuple[str, int, float, int]:
    """Return one line of the table of blocks."""
    return name, count, best(partial(both_ways, layer, x), repeats), saved_bytes(partial(layer, x)) // 1024


def parameter_claims() -> None:
    """Print the formula C_out * G * k * k, and which way it goes."""

    def parameters(channels: int) -> int:
        groups = 64 // channels
        spec = {"input_size": (9, 9), "in_channels": 64, "out_channels": 64, "kernel_size": 3, "bias": "none"}
        return lcl.Spec(**spec, groups=groups, shared=True).parameter_count

    report(
        "parameters are C_out * G * k * k, C_in / G times fewer; a larger G reduces them (S2)",
        "the formula holds; a larger G, inputs per output, makes MORE parameters: it is groups that must grow",
        ("G", "groups", "parameters", "C_out*G*k*k", "fewer by"),
        [(g, 64 // g, parameters(g), 64 * g * 9, 64 // g) for g in (1, 2, 4, 8, 64)],
    )
    local = lcl.Spec(input_size=(32, 32), in_channels=64, out_channels=64, kernel_size=3, bias="none").parameter_count
    report(
        "tf.keras.layers.LocallyConnected2D implements it (S2)",
        "that layer has its own weights at every position: more parameters than a convolution, not fewer",
        ("layer, 32x32, 64 -> 64, k=3", "parameters"),
        [("channel-local, G=4", parameters(4)), ("convolution", parameters(64)), ("LocallyConnected2D", local)],
    )


def product_claims(batches: Sequence[int], repeats: int) -> None:
    """Print what the product of samples, pixels and outputs costs that TwoDFC builds."""
    rows = []
    for batch in batches:
        x, weight = torch.rand(batch, 28, 28), torch.randn(1, 28, 28, 10, requires_grad=True)
        routes: tuple[Layer, ...] = (
            partial(broadcast_product, weight),
            partial(contracted, weight),
            nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        )
        times = (best(partial(both_ways, route, x), repeats) for route in routes)
        rows.append((batch, round(batch * 784 * 10 * 4 / 2**20, 3), round(batch * 10 * 4 / 2**20, 4), *times))
    report(
        "TwoDFC computes what Linear computes (S3)",
        "it does, by way of a product that Linear never builds; tensordot of the same weight does without it",
        ("batch", "product MiB", "output MiB", "TwoDFC ms", "tensordot ms", "Linear ms"),
        rows,
    )


def broadcast_product(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``(n, h, w) -> (n, outputs)`` as printed."""
    return (x[..., None] * weight).sum((1, 2))


def contracted(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``(n, h, w) -> (n, outputs)`` without the product."""
    return torch.tensordot(x, weight[0], 2)


def position_claims(repeats: int) -> None:
    """Print cost against the number of positions, at a fixed window and at a fixed input."""
    rows = []
    for what, positions, kernel_size in [("fixed window", p, 4) for p in (32, 128, 512)] + [
        ("fixed input", p, 2048 // p) for p in (32, 128, 512)
    ]:
        spec = lcl.Spec(
            input_size=positions * kernel_size,
            in_channels=8,
            out_channels=8,
            kernel_size=kernel_size,
            stride=kernel_size,
        )
        arrays = [np.ones(shape, np.float32) for shape in (spec.weight_shape, spec.bias_shape, spec.x_shape(32))]
        layer = system("torch.unfold").prepare(spec, *arrays[:2], "float32")
        spent = best(partial(layer.forward, arrays[2]), repeats)
        rows.append((what, positions, kernel_size, spec.connection_count, math.prod(spec.weight_shape), spent))
    report(
        "cost grows linearly with the number of regions; memory is high, each position has its own weights (S0)",
        "at a fixed window; on a fixed input without overlap, products and weights do not depend on it",
        ("", "positions", "kernel", "products per sample", "weights", "forward ms"),
        rows,
    )


if __name__ == "__main__":
    main()
