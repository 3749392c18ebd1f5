"""A layer whose windows would not fit in memory, trained with torch.fast: `python benchmarks/large_layer.py`.

    python benchmarks/large_layer.py [--size 256] [--channels 32] [--outputs 2] [--kernel 9] [--batch 32] [--steps 2]

Prints the sizes, the largest resident memory of a process that does nothing else, and the seconds of a step. A step is
forward, backward and a plain gradient descent in place. Exit status 1 where the process needs more than its weights and
2 GB; the gradient, as large as the weights, counts among the 2 GB, and so do Python and torch themselves.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from typing import Any

from lcl_ref.core.spec import Spec

ROOM = 2e9


def main() -> int:
    """Train in a process of its own, print the figures, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    sizes = {"size": 256, "channels": 32, "outputs": 2, "kernel": 9, "batch": 32, "steps": 2}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = vars(parser.parse_args())
    if asked.pop("child"):
        print(json.dumps(train(**asked)))
        return 0
    found = run(**asked)
    for name, figure in found.items():
        print(f"{name:32} {figure}")
    return int(found["peak GB"] > found["weights GB"] + ROOM / 1e9)


def run(**sizes: int) -> dict[str, Any]:
    """Return the figures of `train`, made in a process of its own."""
    words = [f"--{name}={size}" for name, size in sizes.items()]
    done = subprocess.run([sys.executable, __file__, "--child", *words], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def train(size: int, channels: int, outputs: int, kernel: int, batch: int, steps: int) -> dict[str, Any]:
    """Train a layer, and return its sizes, the largest resident memory, and the seconds of the fastest step."""
    import torch  # noqa: PLC0415 -- in the measured process only

    from lcl_ref.layers.torch import LocallyConnected2d  # noqa: PLC0415 -- the same

    before = peak_bytes()
    torch.manual_seed(0)
    layer = LocallyConnected2d(channels, outputs, (size, size), kernel)
    x = torch.randn(batch, size, size, channels).movedim(-1, 1)
    seconds, losses = [], []
    for _ in range(steps):
        began = time.perf_counter()
        loss = layer(x).square().mean()
        loss.backward()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.sub_(parameter.grad, alpha=1.0)
                parameter.grad = None
        seconds.append(time.perf_counter() - began)
        losses.append(float(loss.detach()))
    return figures(layer.spec, batch, before) | {"seconds of a step": round(min(seconds), 2), "losses": losses}


def figures(spec: Spec, batch: int, before: int) -> dict[str, float]:
    """Return sizes in GB."""
    positions = math.prod(spec.output_size)
    sizes = {
        "weights GB": 4 * spec.parameter_count,
        "all windows GB": 4 * batch * positions * spec.fan_in,
        "input GB": 4 * batch * spec.in_channels * spec.input_size[0] * spec.input_size[1],
        "peak GB": peak_bytes(),
        "of it, Python and torch GB": before,
    }
    return {name: round(size / 1e9, 3) for name, size in sizes.items()}


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    sys.exit(main())
