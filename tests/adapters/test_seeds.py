"""Adapters of the source documents on random layers of their kind, against the reference; integers, so bit for bit."""

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.suite.run.registered import named
from tests.support.layer_answers import assert_conforms, supported
from tests.support.marks import quick


def blocks(draw):
    count, inputs, outputs = (int(number) for number in draw.integers(1, 5, 3))
    arguments = {"in_channels": count * inputs, "out_channels": count * outputs, "groups": count}
    if draw.random() < 0.3:
        rows = [draw.permutation(count * inputs)[:inputs].tolist() for _ in range(count * outputs)]
        arguments |= {"groups": 1, "channel_table": rows}
    return {"input_size": (), "kernel_size": (), **arguments}


def tied(draw):
    positions, taps, inputs, outputs = (int(number) for number in draw.integers(1, 5, 4))
    sizes = {"input_size": positions * taps, "kernel_size": taps, "stride": taps}
    return {**sizes, "in_channels": inputs, "out_channels": outputs, "shared": True}


def dense(draw):
    size = draw.integers(1, 5, draw.integers(1, 4)).tolist()
    inputs, outputs = (int(number) for number in draw.integers(1, 5, 2))
    return {"input_size": size, "kernel_size": size, "in_channels": inputs, "out_channels": outputs}


def image(draw, rank=2, shared=True):
    base = blocks(draw)
    geometry = {
        "input_size": draw.integers(4, 8, rank).tolist(),
        "kernel_size": draw.integers(1, 4, rank).tolist(),
        "stride": draw.integers(1, 4, rank).tolist(),
        "padding": [pair.tolist() for pair in draw.integers(0, 3, (rank, 2))],
        "dilation": draw.integers(1, 3, rank).tolist(),
        "shared": shared,
    }
    return base | geometry


def local(draw):
    return image(draw, int(draw.integers(1, 4)), shared=bool(draw.random() < 0.3))


KINDS = {
    blocks: "torch.vmap torch.grouped_mm torch.two_grouped_convs jax.ragged_dot jax.grouped_conv flax.vmap_dense "
    "mlx.gather_mm mlx.grouped_conv",
    tied: "torch.tied_conv torch.tied_conv.interleaved torch.tied_linear",
    dense: "torch.linear torch.linear.channels_first torch.twodfc",
    image: "torch.batch_in_groups numpy.channel_loop",
    local: "torch.shift_add",
}
ADAPTERS = {name: make for make, names in KINDS.items() for name in names.split()}


def any_bias(make):
    """Layers of a kind with any bias; a window larger than the padded input is drawn again."""

    def made(draw):
        bias = ("none", "channel", "position")[draw.integers(3)]
        try:
            return lcl.Spec(**make(draw), bias=bias)
        except lcl.SpecError:
            return made(draw)

    return made


@pytest.mark.parametrize("name", quick(ADAPTERS, every=3))
def test_random_layers(name):
    adapter, draw = named(name).load()(), np.random.default_rng(0)
    for number in range(8 if name.startswith(("jax", "flax")) else 25):
        spec = supported(draw, adapter.declaration.capabilities, any_bias(ADAPTERS[name]))
        assert_conforms(adapter, spec, 3, number)
