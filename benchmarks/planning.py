"""Steps of sharded layers as planned and as measured: `python benchmarks/planning.py`.

    python benchmarks/planning.py [--processes 1 2 3 4] [--steps 9]

For each number of processes, of one thread each, that run at once: what the machine does in them (multiply-adds of a
product of matrices, bytes through memory, latency and speed of messages of the size of the halo), the step that
`lcl_ref.layers.planning` computes of that, the step of `ShardedLocal` that is measured, and measured over planned.
What the first number of processes reaches of its plan, the plans of the others reach too (`Cluster.reached`). A step is
forward, backward to weights and input, and a plain gradient descent in place. Times are medians. Rates go to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lcl_ref.core.spec import Spec
from lcl_ref.layers.planning import Cluster, placements

MEGABYTES, MATRIX = 64, 512


def _square(size: int, channels: int, kernel: int) -> Spec:
    return Spec(input_size=(size, size), in_channels=channels, out_channels=channels, kernel_size=kernel, padding=1)


LAYERS = {
    "128 x 128, 16 channels, kernel 5, batch 2": (_square(128, 16, 5), 2),
    "64 x 64, 32 channels, kernel 3, batch 16": (_square(64, 32, 3), 16),
    "32 x 32, 32 channels, kernel 3, batch 128": (_square(32, 32, 3), 128),
}


def main() -> None:
    """Print a row per layer and number of processes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        store, rank, count = asked.child
        found = _child(store, int(rank), int(count), asked.steps)
        if rank == "0":
            print(json.dumps(found))
        return
    print("| layer | processes | halo sent, KB | planned, ms | measured, ms | measured / planned |")
    print("|---|---|---|---|---|---|")
    reached: dict[str, float] = {}
    for count in asked.processes:
        machine, steps = _run(count, asked.steps)
        for name, (spec, batch) in LAYERS.items():
            cluster = Cluster(count, 23e9, **machine | steps[name]["link"], reached=reached.get(name, 1.0))
            plan = placements(spec, batch, cluster, states=0)[0]
            measured = steps[name]["seconds"]
            reached.setdefault(name, plan.seconds / measured)
            times = f"{1e3 * plan.seconds:.0f} | {1e3 * measured:.0f} | {measured / plan.seconds:.2f}"
            print(f"| {name} | {count} | {plan.moved / 1e3:.0f} | {times} |")
        print(f"{count}: {machine} {[steps[name]['link'] for name in LAYERS]}", file=sys.stderr, flush=True)


def _run(count: int, steps: int) -> Any:
    """Return what so many processes measured."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--steps", str(steps), "--child", str(Path(folder) / "group")]
        single = os.environ | {"OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen([*command, str(rank), str(count)], stdout=subprocess.PIPE, text=True, env=single)
            for rank in range(count)
        ]
        first, *_ = [one.communicate()[0] for one in started]
        return json.loads(first)


def _child(store: str, rank: int, count: int, steps: int) -> Any:
    """Return the rates of a process beside the others, and of each layer the link and the seconds of a step."""
    import torch  # noqa: PLC0415 -- in the measured processes only
    import torch.distributed as dist  # noqa: PLC0415 -- the same

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
    matrix, array = torch.randn(MATRIX, MATRIX), torch.randn(MEGABYTES << 18)
    machine = {
        "multiply_adds": MATRIX**3 / _median(lambda: matrix @ matrix, 40),
        "memory_speed": 3 * 4 * len(array) / _median(lambda: array.add_(array), 20),  # counted as two arrays read
    }
    found = {name: _layer(spec, batch, count, steps) for name, (spec, batch) in LAYERS.items()}
    dist.destroy_process_group()
    return machine, found


def _median(run: Callable[[], object], times: int) -> float:
    """Return the median of the seconds of a call, while all processes make it."""
    import torch.distributed as dist  # noqa: PLC0415 -- in the measured processes only

    seconds = []
    for _ in range(times + 2):
        dist.barrier()
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def _layer(spec: Spec, batch: int, count: int, steps: int) -> dict[str, Any]:
    """Return the link with messages as long as those of a layer's halo, and the seconds of its step."""
    import torch  # noqa: PLC0415 -- in the measured processes only

    from lcl_ref.layers.sharded_torch import ShardedLocal  # noqa: PLC0415 -- the same

    layer = ShardedLocal(spec)
    x = torch.randn(batch, layer.sites[1] - layer.sites[0], *spec.input_size[1:], spec.in_channels, requires_grad=True)
    dy = torch.randn_like(layer(x))

    def step() -> None:
        layer.zero_grad()
        layer(x).backward(dy)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.sub_(parameter.grad, alpha=1e-6)  # type: ignore[arg-type]

    sent = placements(spec, batch, Cluster(count, 1, 1, 1, 1))[0].moved / 2
    return {"link": _link(int(sent) // 4, count), "seconds": _median(step, steps)}


def _link(elements: int, count: int) -> dict[str, float]:
    """Return latency and speed of an exchange in which each process sends and gets so many elements."""
    import torch  # noqa: PLC0415 -- in the measured processes only
    import torch.distributed as dist  # noqa: PLC0415 -- the same

    if count == 1:
        return {"link": 1e9, "latency": 0.0}
    rank, seconds = dist.get_rank(), []
    for size in (1, elements):
        gone, came = torch.zeros(size), torch.empty(size)

        def exchange(gone: Any = gone, came: Any = came) -> None:
            for one in (dist.irecv(came, (rank - 1) % count), dist.isend(gone, (rank + 1) % count)):
                one.wait()  # type: ignore[union-attr]

        seconds.append(_median(exchange, 40))
    return {"link": 4 * elements / max(seconds[1] - seconds[0], 1e-9), "latency": seconds[0]}


if __name__ == "__main__":
    main()
