"""Fans and moments of initial weights, as the installed frameworks really draw them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.initialisers import SCHEMES
from lcl_ref.initialisers.schemes import FANS
from lcl_ref.layouts import weight_shape
from tests.support.marks import quick

LAYERS = {
    1: lcl.Spec(input_size=40, in_channels=3, out_channels=5, kernel_size=4, stride=2),
    2: lcl.Spec(input_size=(9, 8), in_channels=4, out_channels=5, kernel_size=3),
}
PADDED = lcl.Spec(input_size=(9, 8), in_channels=4, out_channels=7, kernel_size=3, padding="same_keras_local")
GROUPED = lcl.Spec(
    input_size=(9, 8), in_channels=4, out_channels=6, kernel_size=(3, 2), groups=2, shared=True, bias="none"
)
NAMES = ("glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal", "he_uniform", "he_normal")
SIGMAS = 6
ENOUGH = 5000
"""Draws: a wrong fan of these layers shows by far."""

KERAS = [
    (rank, number, data_format)
    for rank in (1, 2)
    for number in (1, 2, 3)
    for data_format in ("channels_last", "channels_first")
    if (rank, number, data_format) != (1, 1, "channels_first")  # tf_keras has none
]


def assert_drawn_as(scheme, spec, values):
    """Check standard deviation and range of numbers a framework drew, as far as their count allows."""
    values = np.asarray(values, np.float64).reshape(-1)
    measured = (values**2).mean() / scheme.standard_deviation(spec) ** 2
    assert abs(measured - 1) <= SIGMAS * math.sqrt(2 / values.size)
    if scheme.distribution == "uniform":
        assert np.abs(values).max() <= np.nextafter(np.float32(scheme.spread(spec)), np.float32(np.inf))
    if scheme.distribution == "truncated normal":
        assert np.abs(values).max() <= 1.000001 * 2 * scheme.spread(spec) / 0.87962566103423978


def keras_layer(spec, number, data_format, initialiser="glorot_uniform"):
    """Return a built tf_keras layer."""
    from tf_keras import layers

    kind = {1: layers.LocallyConnected1D, 2: layers.LocallyConnected2D}[spec.rank]
    layer = kind(
        spec.out_channels,
        spec.kernel_size,
        strides=spec.stride,
        padding="same" if any(map(any, spec.padding)) else "valid",
        data_format=data_format,
        implementation=number,
        kernel_initializer=initialiser,
    )
    sites = [spec.in_channels, *spec.input_size] if data_format == "channels_first" else spec.x_shape(1)[1:]
    layer.build((None, *sites))
    return layer


def keras_name(number, data_format):
    return f"keras2/impl{number}" + ("" if data_format == "channels_last" else "/channels_first")


@pytest.mark.parametrize(("rank", "number", "data_format"), KERAS)
def test_tf_keras_computes_these_fans(rank, number, data_format):
    from tf_keras.src.initializers.initializers import _compute_fans

    for spec in (LAYERS[rank], PADDED) if number > 1 and rank == 2 else (LAYERS[rank],):
        scheme = SCHEMES[f"{keras_name(number, data_format)}/glorot_uniform"]
        shape = tuple(keras_layer(spec, number, data_format).kernel.shape)
        assert shape == weight_shape(scheme.layout, spec)
        assert tuple(_compute_fans(shape)) == FANS[scheme.fans](spec, shape)


@pytest.mark.parametrize("name", quick(NAMES, every=3))
@pytest.mark.parametrize(("rank", "number", "data_format"), KERAS)
def test_tf_keras_draws_with_these_moments(rank, number, data_format, name):
    import tf_keras

    spec, values = LAYERS[rank], np.empty(0)
    while values.size < ENOUGH:
        tf_keras.utils.set_random_seed(values.size)
        values = np.append(values, keras_layer(spec, number, data_format, name).kernel.numpy())
    assert_drawn_as(SCHEMES[f"{keras_name(number, data_format)}/{name}"], spec, values)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", [*NAMES, "default"])
@pytest.mark.slow
def test_flax_draws_with_these_moments(rank, name):
    import jax
    from flax import linen

    spec, values = LAYERS[rank], []
    given = {} if name == "default" else {"kernel_init": getattr(jax.nn.initializers, name)()}
    layer = linen.ConvLocal(spec.out_channels, spec.kernel_size, strides=spec.stride, padding="VALID", **given)
    for seed in range(4):
        kernel = layer.init(jax.random.key(seed), np.zeros(spec.x_shape(1), np.float32))["params"]["kernel"]
        assert kernel.shape == weight_shape("flax/conv_local", spec)
        values.append(np.asarray(kernel).reshape(-1))
    name = "lecun_normal" if name == "default" else name
    assert_drawn_as(SCHEMES[f"flax/conv_local/{name}"], spec, np.concatenate(values))


@pytest.mark.parametrize(
    ("name", "fill"),
    [
        ("torch/ptrblck/xavier_uniform", lambda init, weight: init.xavier_uniform_(weight)),
        (
            "torch7/spatial_convolution_local/kaiming_uniform",
            lambda init, weight: init.kaiming_uniform_(weight, a=math.sqrt(5)),
        ),
    ],
)
def test_torch_fills_the_shapes_people_store_with_these_moments(name, fill):
    import torch

    scheme, spec = SCHEMES[name], LAYERS[2]
    shape = weight_shape(scheme.layout, spec)
    torch.manual_seed(1)
    weight = fill(torch.nn.init, torch.empty(shape))
    assert torch.nn.init._calculate_fan_in_and_fan_out(weight) == FANS[scheme.fans](spec, shape)
    assert_drawn_as(scheme, spec, weight.numpy())


def test_a_patch_is_what_convolutions_compute():
    """The canonical schemes start a layer whose axes are all shared as the frameworks start a convolution."""
    import torch
    from keras.src.initializers.random_initializers import compute_fans
    from tf_keras.src.initializers.initializers import _compute_fans

    want = FANS["patch"](GROUPED, GROUPED.weight_shape)
    kernel = (*GROUPED.kernel_size, GROUPED.group_channels, GROUPED.out_channels)
    assert tuple(_compute_fans(kernel)) == tuple(compute_fans(kernel)) == want
    conv = torch.nn.Conv2d(GROUPED.in_channels, GROUPED.out_channels, GROUPED.kernel_size, groups=GROUPED.groups)
    assert torch.nn.init._calculate_fan_in_and_fan_out(conv.weight) == want
