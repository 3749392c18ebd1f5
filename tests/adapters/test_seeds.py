"""Adapters of the source documents on random layers of their kind, against the reference; integers, so bit for bit."""

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.core import reference
from lcl_ref.suite.run.registered import named
from lcl_ref.suite.to_numpy import to_numpy


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


ADAPTERS = {
    "torch.vmap": blocks,
    "torch.two_grouped_convs": blocks,
    "jax.grouped_conv": blocks,
    "flax.vmap_dense": blocks,
    "mlx.grouped_conv": blocks,
    "torch.tied_conv": tied,
    "torch.tied_conv.interleaved": tied,
    "torch.tied_linear": tied,
    "torch.linear": dense,
    "torch.linear.channels_first": dense,
    "torch.twodfc": dense,
    "torch.batch_in_groups": image,
    "torch.shift_add": local,
    "numpy.channel_loop": image,
}


def supported(draw, make, capabilities):
    """A layer of the kind that the adapter declares to support."""
    while True:
        bias = ("none", "channel", "position")[draw.integers(3)]
        try:
            spec = lcl.Spec(**make(draw), bias=bias)
        except lcl.SpecError:  # a window larger than the padded input
            continue
        if capabilities.refusal(spec, "float32", "forward") is None:
            return spec


@pytest.mark.parametrize("name", ADAPTERS)
def test_random_layers(name):
    adapter = named(name).load()()
    capabilities = adapter.declaration.capabilities
    draw = np.random.default_rng(0)
    for _ in range(8 if name.startswith(("jax", "flax")) else 25):
        spec = supported(draw, ADAPTERS[name], capabilities)
        shapes = (spec.x_shape(3), spec.weight_shape, spec.bias_shape, spec.y_shape(3))
        x, weight, bias, dy = (None if s is None else draw.integers(-3, 4, s).astype(np.float32) for s in shapes)
        layer = adapter.prepare(spec, weight, bias, "float32")
        np.testing.assert_array_equal(to_numpy(layer.forward(x)), reference.forward(spec, x, weight, bias))
        if "vjp" not in capabilities.ops:
            continue
        expected = reference.vjp(spec, x, weight, dy)
        for found, right in zip(layer.vjp(x, dy), expected, strict=True):
            assert (found is None) == (right is None)
            np.testing.assert_array_equal(
                np.float32(0) if found is None else to_numpy(found), 0 if right is None else right
            )
        np.testing.assert_array_equal(to_numpy(layer.transpose(dy)), expected[0])
