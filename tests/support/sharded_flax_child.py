"""Layers of Flax over four devices of the host, and a training of 50 steps.

`python -m tests.support.sharded_flax_child` prints a line of JSON per thing asked.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import lcl_ref as lcl
from lcl_ref.layers import flax_linen, flax_nnx
from lcl_ref.layers.engines.jax import local
from lcl_ref.layers.sharded import Sharded, partitioned
from tests.support.sharded_child import moved

SPEC = lcl.Spec(input_size=(12, 8), in_channels=2, out_channels=3, kernel_size=3, padding=1)
UNEVEN = lcl.Spec(input_size=(13, 6), in_channels=3, out_channels=4, kernel_size=3, padding=1, stride=(2, 1))
STEPS = 50


def say(**facts):
    print(json.dumps(facts), flush=True)


def drawn(spec, batch, whole):
    draw = np.random.default_rng(0)
    shapes = spec.operand_shapes(batch)
    take = (lambda shape: draw.integers(-3, 4, shape)) if whole else draw.standard_normal
    return {name: take(shape).astype(np.float32) for name, shape in shapes.items()}


def flax(kind, named, linen):
    """Ask a layer whose parameters and input are cut along rows; `named` says whether it is told the mesh."""
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(getattr(AxisType, kind),))
    cut = NamedSharding(mesh, PartitionSpec("rows")), NamedSharding(mesh, PartitionSpec(None, "rows"))
    over = {"mesh": mesh, "axes": ("rows", None)} if named else {}
    given = drawn(SPEC, 2, whole=True)
    params = {name: jax.device_put(given[one], cut[0]) for name, one in (("kernel", "weight"), ("bias", "bias"))}
    x, dy = (jax.device_put(given[name], cut[1]) for name in ("x", "dy"))
    if linen:
        layer = flax_linen.LocallyConnected(SPEC, **over)
        call = lambda params, x: layer.apply({"params": params}, x)  # noqa: E731
    else:

        def call(params, x):
            return flax_nnx.LocallyConnected.from_canonical(SPEC, params["kernel"], params["bias"], **over)(x)

    def step(*given):
        y, pull = jax.vjp(call, *given)
        return y, *pull(dy)

    compiled = jax.jit(step).lower(params, x).compile()
    _, gradients, dx = compiled(params, x)
    want = lcl.vjp(SPEC, given["x"], given["weight"], given["bias"], given["dy"])
    right = [np.array_equal(*pair) for pair in zip((dx, gradients["kernel"], gradients["bias"]), want, strict=True)]
    say(kind=kind, named=named, linen=linen, right=all(right), moved=moved(compiled.as_text()))


def transformed():
    """Ask a layer left to XLA forward mode, a second derivative, a mapped one and one not compiled; a mesh is set."""
    mesh = jax.make_mesh((4,), ("rows",), axis_types=(AxisType.Auto,))
    given, more = drawn(SPEC, 2, whole=True), drawn(SPEC, 2, whole=True)
    cut = {"x": PartitionSpec(None, "rows"), "weight": PartitionSpec("rows")}
    x, weight = (jax.device_put(given[name], NamedSharding(mesh, names)) for name, names in cut.items())

    def uncompiled(layer):
        with jax.disable_jit():
            return layer(SPEC, x, weight)

    def asked(layer):
        square = lambda x, weight: (layer(SPEC, x, weight) ** 2).sum()  # noqa: E731
        curved = lambda x, weight: (jax.grad(square, argnums=1)(x, weight) * more["weight"]).sum()  # noqa: E731
        return (
            jax.jvp(lambda *both: layer(SPEC, *both), (x, weight), (more["x"], more["weight"])),
            jax.jit(jax.grad(curved, argnums=(0, 1)))(x, weight),
            jax.jit(jax.vmap(lambda x: layer(SPEC, x, weight)))(jnp.stack([x, 2 * x])),
            uncompiled(layer),
        )

    with jax.set_mesh(mesh):
        got, want = (jax.tree.leaves(asked(layer)) for layer in (partitioned, local))
    say(transforms=[np.array_equal(*pair) for pair in zip(got, want, strict=True)])


def trained(count):
    """Return weight and bias after `STEPS` of Adam over so many devices."""
    mesh = jax.make_mesh((count,), ("rows",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])
    layer, given, adam = Sharded(UNEVEN, mesh, ("rows", None)), drawn(UNEVEN, 6, whole=False), optax.adam(0.05)
    params = layer.place(given["weight"], given["bias"])
    states = adam.init(params)

    @jax.jit
    def step(params, states):
        loss = lambda params: ((layer(given["x"], *params) - given["dy"]) ** 2).sum()  # noqa: E731
        updates, states = adam.update(jax.grad(loss)(params), states)
        return optax.apply_updates(params, updates), states

    for _ in range(STEPS):
        params, states = jax.block_until_ready(step(params, states))  # devices of a host share few threads
    assert states[0].mu[0].sharding.is_equivalent_to(params[0].sharding, params[0].ndim)
    return layer.canonical(*params)


def training():
    """Compare a training on 4 shards with one on one device, and hand its checkpoint to 1, 2 and 3."""
    one, four = trained(1), trained(4)
    furthest = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(four, one, strict=True))
    loaded = []
    for count in (1, 2, 3):
        mesh = jax.make_mesh((count,), ("rows",), devices=jax.devices()[:count])
        layer = Sharded(UNEVEN, mesh, ("rows", None))
        back = layer.canonical(*layer.place(*four))
        loaded.append(all(np.array_equal(*pair) for pair in zip(back, four, strict=True)))
    say(furthest=furthest, loaded=loaded)


if __name__ == "__main__":
    jax.config.update("jax_disable_most_optimizations", True)
    for kind, named in (("Auto", True), ("Auto", False), ("Explicit", True), ("Explicit", False)):
        for linen in (True, False):
            flax(kind, named, linen)
    transformed()
    training()
