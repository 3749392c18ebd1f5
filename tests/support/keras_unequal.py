"""A layer of unequal blocks of Keras 3, under ``KERAS_BACKEND``: answers, training, a saved model."""

import os
import sys
from pathlib import Path

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}

import keras

import lcl_ref as lcl
from lcl_ref.layers.keras import UnequalBlockLinear

SIZES = [(2, 3), (4, 1), (2, 3)]


def whole_numbers(seed, *shape):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def check(path):
    weights, bias = [whole_numbers(number, *size) for number, size in enumerate(SIZES)], np.arange(7)
    x = whole_numbers(7, 4, 5, 8)
    parts = np.split(x, [2, 6], -1)
    layer = UnequalBlockLinear.from_blocks(weights, bias, name="blocks")
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, layer(inputs))
    want = np.concatenate([part @ weight for part, weight in zip(parts, weights, strict=True)], -1) + bias
    assert model.output.shape == (None, 5, 7)
    assert np.array_equal(model.predict(x, verbose=0), want)
    model.save(path)
    again = keras.models.load_model(path)
    assert again.get_layer("blocks").get_config()["sizes"] == SIZES
    assert np.array_equal(again.predict(x, verbose=0), want)
    again.compile(keras.optimizers.SGD(2**-4), "mse")
    again.train_on_batch(x, np.zeros_like(want))  # the loss is the mean of 140 squares
    pairs = zip(parts, np.split(want, [3, 4], -1), strict=True)
    steps = [np.einsum("abi,abo->io", *pair) / 70 / 16 for pair in pairs]
    for kernel, weight, step in zip(again.get_layer("blocks").kernels, weights, steps, strict=True):
        assert np.abs(keras.ops.convert_to_numpy(kernel) - (weight - step)).max() < np.abs(step).max() * 1e-5
    drawn = UnequalBlockLinear(SIZES, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    drawn.build((None, 8))
    first, _, last = map(keras.ops.convert_to_numpy, drawn.kernels)
    assert not np.array_equal(first, last)
    bare = UnequalBlockLinear.from_blocks(weights)
    assert np.array_equal(keras.ops.convert_to_numpy(bare(x)), want - bias)
    refused(ValueError, lambda: layer(x[..., 1:]))
    refused(lcl.ShapeError, lambda: UnequalBlockLinear.from_blocks(weights, bias[1:]))
    refused(lcl.SpecError, lambda: UnequalBlockLinear([(2, 0)]))


def refused(kind, wrong):
    try:
        wrong()
    except kind:
        return
    raise AssertionError("what does not fit was taken")


check(Path(sys.argv[1]))
sys.stdout.write("done\n")
