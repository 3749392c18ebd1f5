"""One of two processes of JAX: `... -m tests.support.sharded_jax_child ADDRESS RANK LOST SIGNAL HEARTBEAT`, JSON out.

A layer lies over both; in the middle of its training one sends itself the signal, and the other says what then happens.
"""

import json
import os
import sys
import time

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import lcl_ref as lcl
from lcl_ref.layers.sharded import Sharded

SPEC = lcl.Spec(input_size=(12, 8), in_channels=2, out_channels=3, kernel_size=3, padding=1)


def main(address, rank, lost, signal, heartbeat):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, 2, int(rank), heartbeat_timeout_seconds=int(heartbeat))
    mesh = jax.make_mesh((2,), ("rows",))
    layer = Sharded(SPEC, mesh, ("rows", None))

    def ones(shape, *names):
        sharding = NamedSharding(mesh, PartitionSpec(*names))
        return jax.make_array_from_callback(shape, sharding, lambda part: np.ones(shape, np.float32)[part])

    weight, bias = ones(SPEC.weight_shape, "rows"), ones(SPEC.bias_shape, "rows")
    loss = lambda weight, x, bias: layer(x, weight, bias).sum()  # noqa: E731
    x, began = ones(SPEC.x_shape(2), None, "rows"), time.monotonic()
    step = jax.jit(lambda weight, *given: weight - 1e-3 * jax.grad(loss)(weight, *given))
    try:
        for number in range(10**6):
            if number == 20:
                print(json.dumps({"reached": number}), flush=True)
                if rank == lost:
                    os.kill(os.getpid(), int(signal))
            weight = jax.block_until_ready(step(weight, x, bias))
            began = time.monotonic()
    except jax.errors.JaxRuntimeError as error:
        print(json.dumps({"seconds": time.monotonic() - began, "error": str(error)}), flush=True)
        os._exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:])
