"""Programs that tests of the Keras layers run in processes of their own: Keras fixes its backend at its first import.

``write FOLDER`` saves models and answers of tf_keras; ``check FOLDER`` and ``layers`` run under ``KERAS_BACKEND``.
"""

import itertools
import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
warnings.simplefilter("ignore")

SETTINGS = [
    {"implementation": implementation, "data_format": data_format, "padding": padding, "strides": strides}
    for implementation, data_format, (padding, strides) in itertools.product(
        (1, 2, 3), ("channels_last", "channels_first"), (("valid", 2), ("same", 1), ("same", 2))
    )
    if not (implementation == 1 and padding == "same")
]
"""Of the old layer, which had no padding under implementation 1."""


def whole_numbers(seed, *shape):
    """Small integers, on which every order of summation has the same bits."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def answer(model, x):
    """Run a model once, without compiling it first."""
    import keras

    return keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x)))


def write(folder):
    """Save one model per setting and rank with tf_keras, in both file formats, with an input and its output."""
    import tf_keras

    for number, (rank, setting) in enumerate(itertools.product((1, 2), SETTINGS)):
        layers = tf_keras.layers
        local = (layers.LocallyConnected1D, layers.LocallyConnected2D)[rank - 1]
        shape = (*(6, 5)[:rank], 2) if setting["data_format"] == "channels_last" else (2, *(6, 5)[:rank])
        model = tf_keras.Sequential(
            [
                layers.Input(shape),
                local(3, (3, 2)[:rank], activation="relu", **setting),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
        model.set_weights([whole_numbers(7 + n, *array.shape) for n, array in enumerate(model.get_weights())])
        x = whole_numbers(number, 3, *shape)
        model.save(folder / f"{number}.h5")
        model.save(folder / f"{number}.keras")
        np.savez(folder / f"{number}.npz", x=x, y=model(x).numpy())


def check(folder):
    """Load every model in Keras 3 and compare the answers bit for bit."""
    import keras

    from lcl_backends.layers.keras import LocallyConnected1D, LocallyConnected2D, restore

    restore()
    names = {"LocallyConnected1D": LocallyConnected1D, "LocallyConnected2D": LocallyConnected2D}
    files = sorted(folder.glob("*.h5")) + sorted(folder.glob("*.keras"))
    for file in files:
        model = keras.models.load_model(file, custom_objects=names if file.suffix == ".h5" else None, compile=False)
        answers = np.load(file.with_suffix(".npz"))
        assert np.array_equal(answer(model, answers["x"]), answers["y"]), file
        if file.suffix == ".h5":
            continue
        again = folder / "again" / f"{os.environ['KERAS_BACKEND']}.keras"
        again.parent.mkdir(exist_ok=True)
        model.save(again)
        twin = keras.models.load_model(again)
        assert np.array_equal(answer(twin, answers["x"]), answers["y"]), file
    sys.stdout.write(str(len(files)))


def layers():
    """Compare every rank, format, implementation and padding with the reference, and train a model."""
    import keras

    from lcl_backends.layers import keras as ours
    from lcl_ref import forward

    kinds = ((ours.LocallyConnected1D, (9,), 3), (ours.LocallyConnected2D, (7, 6), (3, 2)))
    kinds += ((ours.LocallyConnected3D, (4, 5, 3), 2),)
    formats = ("channels_last", "channels_first")
    for (cls, size, kernel), data_format, implementation, padding, use_bias in itertools.product(
        kinds, formats, (1, 2, 3), ours.PADDING, (True, False)
    ):
        if implementation > 1 and not use_bias:
            continue
        first = data_format == "channels_first"
        layer = cls(4, kernel, 2, padding, data_format, implementation=implementation, use_bias=use_bias)
        x = whole_numbers(1, 2, *size, 3)
        native = np.moveaxis(x, -1, 1) if first else x
        model = keras.Sequential([keras.Input(native.shape[1:]), layer])
        model.set_weights([whole_numbers(2, *array.shape) for array in model.get_weights()])
        spec, weight, bias = layer.canonical()
        y = answer(model, native)
        assert y.shape == (2, *model.output_shape[1:])
        assert np.array_equal(np.moveaxis(y, 1, -1) if first else y, forward(spec, x, weight, bias))
        twin = cls.from_config(layer.get_config())
        twin.build(native.shape)
        twin.set_canonical(weight, bias)
        assert np.array_equal(keras.ops.convert_to_numpy(twin(native)), y)
        assert json.loads(json.dumps(twin.get_config())) == json.loads(json.dumps(layer.get_config()))
    train(keras, ours)


def train(keras, ours):
    """One step of gradient descent on a linear model goes where the reference's gradient says."""
    from lcl_ref import vjp

    layer = ours.LocallyConnected2D(2, 3, padding="same_upper", implementation=2)
    model = keras.Sequential([keras.Input((5, 4, 2)), layer])
    model.set_weights([whole_numbers(3, *array.shape) for array in model.get_weights()])
    spec, weight, bias = layer.canonical()
    x, target = whole_numbers(4, 4, 5, 4, 2), whole_numbers(5, 4, 5, 4, 2)
    error = answer(model, x) - target
    _, dw, db = vjp(spec, x, weight, bias, error)
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, p: keras.ops.sum(keras.ops.square(p - y)) / 2)
    model.fit(x, target, batch_size=4, epochs=1, verbose=0)
    _, after, offset = layer.canonical()
    assert np.array_equal(after, weight - dw)
    assert np.array_equal(offset, bias - db)


if __name__ == "__main__":
    globals()[sys.argv[1]](*map(Path, sys.argv[2:]))
