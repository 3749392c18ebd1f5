"""A layer of Keras 3 with regions, under ``KERAS_BACKEND``: answers, gradients, configuration, a saved model."""

import itertools
import os
import sys
from pathlib import Path

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}

import keras

import lcl_ref as lcl
from lcl_ref.extensions import regions
from lcl_ref.files import open_weights
from lcl_ref.layers.keras import LocallyConnected2D

SPEC = lcl.Spec(input_size=(5, 6), in_channels=3, out_channels=4, kernel_size=2)
FREE = (np.arange(20).reshape(4, 5) * 7 % 4).tolist()


def whole_numbers(seed, shape):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def check(where, data_format, path):
    kernels, bias = (whole_numbers(seed, shape) for seed, shape in enumerate(regions.shapes(SPEC, where).values()))
    first = data_format == "channels_first"
    x = whole_numbers(7, SPEC.x_shape(2))
    given = np.moveaxis(x, -1, 1) if first else x
    inputs = keras.Input(given.shape[1:])
    local = LocallyConnected2D(4, 2, data_format=data_format, regions=where, kernel_initializer="ones", name="local")
    model = keras.Model(inputs, local(inputs))
    assert local.kernel.shape == (len(kernels), 12, 4)
    assert keras.ops.convert_to_numpy(local.kernel).min() == 1
    local.set_canonical(*regions.expand(SPEC, where, kernels, bias))
    want = regions.forward(SPEC, where, x, kernels, bias)
    y = keras.ops.convert_to_numpy(model(given))
    assert np.array_equal(np.moveaxis(y, 1, -1) if first else y, want)
    model.save(path)
    again = keras.models.load_model(path)
    assert np.array_equal(keras.ops.convert_to_numpy(again(given)), y)
    assert again.get_layer("local").get_config()["regions"] == np.asarray(where).tolist()
    with open_weights(path) as file:
        (layer,) = file.layers
        stored = [file.tensors[name].read() for name in (layer.weight, layer.bias)]
        canonical = lcl.layouts.convert(layer.spec, *stored, source=layer.layout, target="canonical")
    assert all(map(np.array_equal, canonical, regions.expand(SPEC, where, kernels, bias)))
    model.compile("sgd", "mse")
    model.train_on_batch(given, np.zeros_like(y))
    weight, _ = local.canonical()[1:]
    assert not np.array_equal(weight, canonical[0])
    regions.collapse(regions.as_map(SPEC, where), weight)  # or it is refused: what is tied stays tied


cases = [*itertools.product((2, (2, 3), FREE), ("channels_last", "channels_first"))]
for where, data_format in cases:
    check(where, data_format, Path(sys.argv[1]))
sys.stdout.write(f"{len(cases)}\n")
