"""Programs that tests of the Keras layers run in processes of their own: Keras fixes its backend at its first import.

``write FOLDER`` saves models and answers of tf_keras, ``networks FOLDER`` larger ones; ``check FOLDER`` and ``layers``
run under ``KERAS_BACKEND``.
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
        np.savez(folder / f"{number}.npz", x0=x, y0=model(x).numpy())


def networks(folder):
    """Save what models are made of: functional, nested, shared, with convolutions and BatchNormalization around."""
    import tf_keras as keras2

    layers, kinds = keras2.layers, ("functional", "sequential")
    first = layers.LocallyConnected2D(
        3, 2, input_shape=(6, 5, 2), kernel_regularizer="l2", kernel_constraint="max_norm"
    )
    made = {
        "functional": outer(keras2, None, 0),
        "sequential without input in functional": outer(keras2, inner(keras2, "sequential", inputs=False), 1),
        "input_shape": keras2.Sequential([first, layers.Dense(2, activation=keras2.activations.relu)]),
        "two ends": two_ends(layers, keras2.Model),
    }
    made |= {f"{kind} in functional": outer(keras2, inner(keras2, kind), 1) for kind in kinds}
    made |= {f"{kind} called twice": outer(keras2, inner(keras2, kind), 2) for kind in kinds}
    made |= {f"{kind} in sequential": chain(keras2, inner(keras2, kind), normalised(keras2)) for kind in kinds}
    made |= {f"{kind} at the end": at_the_end(layers, keras2.Model, inner(keras2, kind)) for kind in kinds}
    for name, model in made.items():
        save(folder, name, model)


def normalised(keras2):
    """Return a BatchNormalization that keeps whole numbers whole: 0.5 + 0.5 is 1, and so is its root."""
    half = keras2.initializers.Constant(0.5)
    return keras2.layers.BatchNormalization(epsilon=0.5, moving_variance_initializer=half)


def inner(keras2, kind, *, inputs=True):
    """Return a model to be part of another one."""
    layers, start, middle = keras2.layers, keras2.layers.Input((6, 5, 4)), normalised(keras2)
    local = layers.LocallyConnected2D(3, 2, padding="same", implementation=3, activation="relu")
    if kind == "functional":
        return keras2.Model(start, local(middle(start)))
    return keras2.Sequential([*([start] if inputs else []), middle, local])


def outer(keras2, model, calls):
    """Return a functional model that calls another one so many times."""
    layers = keras2.layers
    start = layers.Input((8, 7, 2))
    seen = normalised(keras2)(layers.Conv2D(4, 3, activation="relu")(start))
    parts = [model(seen if call == 0 else layers.ReLU(max_value=2)(seen)) for call in range(calls)]
    joined = layers.Add()(parts) if calls > 1 else parts[0] if parts else seen
    local = layers.LocallyConnected2D(5, (3, 2), strides=(2, 1), activation="relu")(joined)
    return keras2.Model(start, layers.Dense(2)(layers.Flatten()(local)))


def chain(keras2, *models):
    """Return a sequential model of others."""
    layers = keras2.layers
    return keras2.Sequential([layers.Input((6, 5, 4)), *models, layers.Flatten(), layers.Dense(2)])


def at_the_end(layers, kind, model):
    """Return a model whose output is that of another."""
    start = layers.Input((6, 5, 4))
    return kind(start, model(layers.ReLU()(start)))


def two_ends(layers, kind):
    """Return a model of two inputs and two outputs."""
    left, right = layers.Input((5, 2)), layers.Input((5, 2))
    both = layers.Concatenate()([left, right])
    return kind([left, right], [layers.LocallyConnected1D(3, 2)(both), layers.LocallyConnected1D(2, 3)(left)])


def save(folder, name, model):
    """Save a model with small weights of both signs in both formats, its inputs and its answers."""
    names = [variable.name for variable in model.weights]
    held = [
        array if "variance" in name else np.clip(whole_numbers(n, *array.shape), -1, 1)
        for n, (name, array) in enumerate(zip(names, model.get_weights(), strict=True))
    ]
    model.set_weights(held)
    inputs = [whole_numbers(n, 2, *tensor.shape[1:]) for n, tensor in enumerate(model.inputs)]
    outputs = model(inputs[0] if len(inputs) == 1 else inputs)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    model.save(folder / f"{name}.h5")
    model.save(folder / f"{name}.keras")
    arrays = {f"x{n}": x for n, x in enumerate(inputs)} | {f"y{n}": y.numpy() for n, y in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", **arrays)


def check(folder):
    """Load every model in Keras 3, save it again, load that, and compare the answers bit for bit."""
    import keras

    from lcl_ref.layers.keras import load_model

    files = sorted(folder.glob("*.h5")) + sorted(folder.glob("*.keras"))
    for file in files:
        model, stored = load_model(file), np.load(file.with_suffix(".npz"))
        compare(model, stored, file)
        if file.suffix == ".keras":
            again = folder / "again" / f"{os.environ['KERAS_BACKEND']}.keras"
            again.parent.mkdir(exist_ok=True)
            model.save(again)
            compare(keras.models.load_model(again), stored, file)
            compare(load_model(again), stored, file)  # a file of today is left as it is
    sys.stdout.write(str(len(files)))


def compare(model, stored, file):
    """Run a model once, without compiling it first, and compare what it returns, and in which form."""
    import keras

    inputs = [keras.ops.convert_to_tensor(stored[name]) for name in sorted(stored) if name[0] == "x"]
    expected = [stored[name] for name in sorted(stored) if name[0] == "y"]
    outputs = model(inputs[0] if len(inputs) == 1 else inputs)
    assert isinstance(outputs, list) == (len(expected) > 1), file
    for got, want in zip(outputs if isinstance(outputs, list) else [outputs], expected, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(got), want), file


def keras_alone(folder):
    """Load the models of `write` by Keras 3 itself, with `restore` and custom objects."""
    import keras

    from lcl_ref.layers.keras import LocallyConnected1D, LocallyConnected2D, restore

    restore()
    names = {"LocallyConnected1D": LocallyConnected1D, "LocallyConnected2D": LocallyConnected2D}
    for file in [*folder.glob("1.*"), *folder.glob("16.*")]:
        if file.suffix != ".npz":
            objects = names if file.suffix == ".h5" else None
            model = keras.models.load_model(file, custom_objects=objects, compile=False)
            compare(model, np.load(file.with_suffix(".npz")), file)


def layers():
    """Compare every rank, format, implementation and padding with the reference, and train a model."""
    import keras

    from lcl_ref import forward
    from lcl_ref.layers import keras as ours

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
        twin = cls.from_config(layer.get_config() | {"batch_input_shape": (None, *native.shape[1:])})
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
