"""A layer whose windows would not fit in memory, trained with torch.fast: `python benchmarks/large_layer.py`.

    python benchmarks/large_layer.py [--size 256] [--channels 32] [--outputs 2] [--kernel 9] [--batch 32] [--steps 2]
        [--processes 1]

Prints the sizes, the largest resident memory of a process that does nothing else, and the seconds of a step. A step is
forward, backward and a plain gradient descent in place. Exit status 1 where the process needs more than its weights and
2 GB; the gradient, as large as the weights, counts among the 2 GB, and so do Python and torch themselves. With several
processes the positions are shared among them (`lcl_ref.layers.sharded_torch`), and each may need its share of the
weights and 1 GB.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lcl_ref.core.spec import Spec

ROOM, ROOM_OF_A_SHARE = 2e9, 1e9


def main() -> int:
    """Train in processes of their own, print the figures, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    sizes = {"size": 256, "channels": 32, "outputs": 2, "kernel": 9, "batch": 32, "steps": 2, "processes": 1}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = vars(parser.parse_args())
    child = asked.pop("child")
    if child:
        print(json.dumps(train(child, **asked)))
        return 0
    found = run(**asked)
    for name, figure in found.items():
        print(f"{name:32} {figure}")
    room = ROOM if asked["processes"] == 1 else ROOM_OF_A_SHARE
    return int(found["peak GB"] > found["weights GB"] / asked["processes"] + room / 1e9)


def run(**sizes: int) -> dict[str, Any]:
    """Return the figures of `train`, made in processes of their own: those of the one that needs most memory."""
    words = [f"--{name}={size}" for name, size in sizes.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *words, "--child", str(Path(folder) / "group")]
        started = [
            subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True)
            for rank in range(sizes["processes"])
        ]
        found = [json.loads(one.communicate()[0]) for one in started]
    return max(found, key=lambda one: one["peak GB"])


def train(
    child: list[str], size: int, channels: int, outputs: int, kernel: int, batch: int, steps: int, processes: int
) -> dict[str, Any]:
    """Train a layer, or a share of it, and return its sizes, the largest resident memory, and the fastest step."""
    import torch  # noqa: PLC0415 -- in the measured process only

    from lcl_ref.layers.torch import LocallyConnected2d  # noqa: PLC0415 -- the same

    before = peak_bytes()
    torch.manual_seed(0)
    spec = Spec(input_size=(size, size), in_channels=channels, out_channels=outputs, kernel_size=kernel)
    layer: Any
    if processes == 1:
        layer, sites = LocallyConnected2d(channels, outputs, (size, size), kernel), size
    else:
        layer = share(spec, child, processes)
        sites = layer.sites[1] - layer.sites[0]
    x = torch.randn(batch, sites, size, channels)
    x = x.movedim(-1, 1) if processes == 1 else x
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
    return figures(spec, batch, before) | {"seconds of a step": round(min(seconds), 2), "losses": losses}


def share(spec: Spec, child: list[str], processes: int) -> Any:
    """Return the share of this process."""
    import torch.distributed  # noqa: PLC0415 -- in the measured process only

    from lcl_ref.layers.sharded_torch import ShardedLocal  # noqa: PLC0415 -- the same

    store, rank = child
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=processes)
    return ShardedLocal(spec)


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
