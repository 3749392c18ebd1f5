"""Asks sharded layers of JAX on four devices of the host: `python -m tests.support.sharded_child [CASE...]`, JSON out.

A process of its own, because JAX makes its devices once. For each case and 2, 3 and 4 shards: whether y and gradients
are the golden ones, what collectives the compiled program has, and how many bytes they move. Without a case, all exact
cases that can be cut, which takes half an hour; `| python -m tests.support.sharded_table` makes a table of it.
"""

import json
import math
import os
import re
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lcl_ref.layers.sharded import Sharded, partitioned
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.tasks import load_task
from tests.support.sharded_cases import cut_cases, needed

OTHERS = ("all-gather", "all-reduce", "all-to-all", "reduce-scatter", "collective-broadcast")
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8}


def meshes(rank, number):
    """Return, for a case, meshes and axes of 2, 3 and 4 shards along one axis in turn, and of 2 x 2 along two."""
    names = [None] * rank
    names[number % rank] = "a"
    found = [((count,), ("a",), tuple(names)) for count in (2, 3, 4)]
    if rank > 1:
        names[(number + 1) % rank] = "b"
        found.append(((2, 2), ("a", "b"), tuple(names)))
    return found


def moved(text):
    """Return the bytes that the permutes of a compiled program move, and how many other collectives it has."""
    total = 0
    for dtype, shape, rest in re.findall(r"= (\w+)\[([\d,]*)\][^=]* collective-permute(?:-start)?\((.*)", text):
        pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", rest).group(1).count("{")
        total += BYTES[dtype] * math.prod(map(int, filter(None, shape.split(",")))) * pairs
    return total, {name: count for name in OTHERS if (count := len(re.findall(rf" {name}(?:-start)?\(", text)))}


def asked(task, shape, names, axes):
    """Return what a layer answers over a mesh, and what moves for it."""
    spec, operands = task.spec, task.operands
    layer = Sharded(spec, jax.make_mesh(shape, names, devices=jax.devices()[: math.prod(shape)]), axes)
    weight, bias = layer.place(operands["weight"], operands.get("bias"))
    batch = len(operands["x"])
    x = jax.device_put(zeros_after(operands["x"], layer.x_shape(batch)), layer.sharding_of_x())
    dy = jax.device_put(zeros_after(operands["dy"], layer.y_shape(batch)), layer.sharding_of_x())

    def step(x, weight, bias, dy):
        y, pull = jax.vjp(lambda *given: layer(*given, even=True), x, weight, bias)
        return y, *pull(dy)

    compiled = jax.jit(step).lower(x, weight, bias, dy).compile()
    y, dx, *gradients = compiled(x, weight, bias, dy)
    dw, db = layer.canonical(*gradients)
    cut = [tuple(slice(size) for size in one) for one in (spec.y_shape(batch), spec.x_shape(batch))]
    got = {"y": np.asarray(y)[cut[0]], "dx": np.asarray(dx)[cut[1]], "dw": dw, "db": db}
    wrong = [name for name in task.golden if name in got and not np.array_equal(got[name], task.golden[name])]
    shards = [1 if axis is None else layer.mesh.shape[axis] for axis in axes]
    least, halo = (2 * 4 * batch * elements for elements in (needed(spec, shards), layer.halo_elements))
    return {"wrong": wrong, "halo": halo, "least": least, "moved": moved(compiled.as_text())}


def left_to_xla(task, shape, names, axes, *, always):
    """Return what a layer answers that is told no mesh, and what moves for it; what does not divide is not cut.

    None where something does not divide, unless it is asked `always`.
    """
    spec, operands = task.spec, task.operands
    mesh = jax.make_mesh(shape, names, (AxisType.Auto,) * len(names), devices=jax.devices()[: math.prod(shape)])
    shards = [1 if axis is None else mesh.shape[axis] for axis in axes]
    sizes = zip(shards, spec.input_size, spec.output_size, strict=True)
    even = all(size % count == 0 for count, *both in sizes for size in both)
    if not even and not always:
        return None
    dy, *given = placed(spec, operands, mesh, axes)

    def step(dy, *given):
        y, pull = jax.vjp(lambda *given: partitioned(spec, *given), *given)
        return y, *pull(dy)

    compiled = jax.jit(step).lower(dy, *given).compile()
    got = dict(zip(("y", "dx", "dw", "db"), map(np.asarray, compiled(dy, *given)), strict=False))
    wrong = [name for name in task.golden if name in got and not np.array_equal(got[name], task.golden[name])]
    least = 2 * 4 * len(operands["x"]) * needed(spec, shards)
    return {"wrong": wrong, "even": even, "least": least, "moved": moved(compiled.as_text())}


def placed(spec, operands, mesh, axes):
    """Return dy, x, weight and bias, cut along what divides."""

    def put(name, sizes, *before):
        cut = [axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(axes, sizes, strict=True)]
        return jax.device_put(operands[name], NamedSharding(mesh, PartitionSpec(*before, *cut)))

    found = [put("dy", spec.output_size, None), put("x", spec.input_size, None), put("weight", spec.weight_size)]
    if spec.bias == "position":
        found.append(put("bias", spec.output_size))
    return [*found, operands["bias"]] if spec.bias == "channel" else found


def zeros_after(array, shape):
    return np.pad(array, [(0, long - size) for size, long in zip(array.shape, shape, strict=True)])


def main(cases):
    store = Store(default_root())
    for number, case in enumerate(cases):
        task = load_task(store, case, "float32")
        for shape, names, axes in meshes(task.spec.rank, number):
            row = {"case": case, "mesh": shape, "axes": axes, "unshared": not any(task.spec.shared)}
            found = {"bias": task.spec.bias, "asked": asked(task, shape, names, axes)}
            found["left_to_xla"] = left_to_xla(task, shape, names, axes, always=number % 5 == 0)
            print(json.dumps(row | found), flush=True)


if __name__ == "__main__":
    jax.config.update("jax_disable_most_optimizations", True)
    main(sys.argv[1:] or cut_cases("full", 1))
