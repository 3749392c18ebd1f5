"""One process of a group of torch: `python -m tests.support.sharded_torch_child JOB STORE RANK SIZE ...`, JSON out.

Jobs: `cases` (answers of the golden data), `train` (steps, and a checkpoint), `load` (a checkpoint), `lost` (a process
ends itself in the middle).
"""

import datetime as dt
import json
import os
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

import lcl_ref as lcl
from lcl_ref.layers.sharded_torch import ShardedLocal
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.tasks import load_task
from tests.support.sharded_cases import needed

SPEC = lcl.Spec(input_size=(13, 6), in_channels=3, out_channels=4, kernel_size=3, padding=1, stride=(2, 1))
STEPS, RATE = 50, 0.05
TIMEOUT = 20


def pairs(layer, which):
    """Return axis -> first and last of this process, of sites or positions."""
    ends = getattr(layer, which)
    return {layer.axis: ends} if isinstance(layer.axis, int) else dict(zip(layer.axis, ends, strict=True))


def own(layer, array, which):
    for axis, part in pairs(layer, which).items():
        array = np.take(array, range(*part), axis=axis + 1)
    return torch.tensor(np.ascontiguousarray(array))


def whole(tensor, parts, sizes, before):
    """Return a part of this process among zeros, so that the sum over processes is the whole."""
    shape = list(tensor.shape)
    for axis in parts:
        shape[axis + before] = sizes[axis]
    found = torch.zeros(shape)
    view = found
    for axis, (first, last) in parts.items():
        view = view.narrow(axis + before, first, last - first)
    view.copy_(tensor.detach())
    dist.all_reduce(found)
    return found.numpy()


def counted(sent):
    """Have every tensor that is sent counted, in bytes."""
    send = dist.isend

    def isend(tensor, *words, **options):
        sent.append(tensor.numel() * tensor.element_size())
        return send(tensor, *words, **options)

    dist.isend = isend


def cases(grid, *names):
    """Ask layers of these cases, along one axis in turn (`3`), or along two over a grid (`2x2`)."""
    store, sent, shape = Store(default_root()), [], [int(count) for count in grid.split("x")]
    mesh = init_device_mesh("cpu", tuple(shape)) if len(shape) > 1 else None
    counted(sent)
    for number, case in enumerate(names):
        task = load_task(store, case, "float32")
        spec, given = task.spec, task.operands
        free = [axis for axis in range(spec.rank) if not spec.shared[axis]]
        axes = [free[(number + more) % len(free)] for more in range(len(shape))]
        layer = ShardedLocal(spec, axes if mesh else axes[0], mesh)
        layer.load_canonical(given["weight"], given.get("bias"))
        sent.clear()
        x = own(layer, given["x"], "sites").requires_grad_()
        y = layer(x)
        y.backward(own(layer, given["dy"], "positions"))
        sites, positions = pairs(layer, "sites"), pairs(layer, "positions")
        got = {
            "y": whole(y, positions, spec.output_size, 1),
            "dx": whole(x.grad, sites, spec.input_size, 1),
            "dw": whole(layer.weight.grad, positions, spec.output_size, 0),
        }
        if spec.bias == "position":
            got["db"] = whole(layer.bias.grad, positions, spec.output_size, 0)
        elif spec.bias == "channel":
            got["db"] = layer.bias.grad.numpy()
        wrong = [name for name in got if not np.array_equal(got[name], task.golden[name])]
        stored = zip(layer.canonical(), (given["weight"], given.get("bias")), strict=True)
        same = all(one is None or np.array_equal(one.numpy(), array) for one, array in stored)
        shards = [1] * spec.rank
        for axis, count in zip(axes, shape, strict=True):
            shards[axis] = count
        halo = 2 * 4 * len(given["x"]) * needed(spec, shards)
        print(json.dumps({"case": case, "wrong": wrong, "same": same, "sent": sum(sent), "halo": halo}), flush=True)


def operands():
    draw = np.random.default_rng(5)
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in SPEC.operand_shapes(6).items()}


def trained():
    """Return the layer of this process after `STEPS` of Adam, and how each step's loss was."""
    given = operands()
    layer = ShardedLocal(SPEC, 0)
    layer.load_canonical(given["weight"], given["bias"])
    adam = torch.optim.Adam(layer.parameters(), RATE)
    x, wanted = own(layer, given["x"], "sites"), own(layer, given["dy"], "positions")
    for _ in range(STEPS):
        adam.zero_grad()
        (layer(x) - wanted).square().sum().backward()
        adam.step()
    return layer


def train(folder):
    layer = trained()
    weight, bias = layer.canonical()
    if dist.get_rank() == 0:
        np.save(f"{folder}/weight.npy", weight.numpy())
        np.save(f"{folder}/bias.npy", bias.numpy())


def load(folder, grid=None):
    stored = [np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("weight", "bias")]
    layer = ShardedLocal(SPEC, (0, 1), init_device_mesh("cpu", tuple(json.loads(grid)))) if grid else ShardedLocal(SPEC)
    layer.load_canonical(*stored)
    same = [np.array_equal(one.numpy(), array) for one, array in zip(layer.canonical(), stored, strict=True)]
    print(json.dumps(same), flush=True)


def lost():
    layer, began = ShardedLocal(SPEC, 0), time.monotonic()
    x = torch.ones(2, layer.sites[1] - layer.sites[0], 6, 3)
    try:
        for step in range(10**6):
            if step == 20 and dist.get_rank() == 1:
                os.kill(os.getpid(), 9)
            layer(x).sum().backward()
            began = time.monotonic()
    except lcl.LclError as error:
        print(json.dumps({"seconds": time.monotonic() - began, "error": str(error)}), flush=True)
        os._exit(3)


def main(job, store, rank, size, *words):
    torch.set_num_threads(1)
    seconds = dt.timedelta(seconds=TIMEOUT)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(size), timeout=seconds
    )
    {"cases": cases, "train": train, "load": load, "lost": lost}[job](*words)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
