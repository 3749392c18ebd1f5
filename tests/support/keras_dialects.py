"""Programs of a process of their own on files as earlier versions of Keras wrote them.

``write FOLDER`` edits files of tf_keras into the dialects of earlier versions, with inputs and answers; what tf_keras
itself can read of them it must still read as the same model. ``check FOLDER`` loads them in Keras 3.
"""

import json
import os
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
warnings.simplefilter("ignore")

KERAS_1 = tomllib.loads(Path(__file__).with_name("keras_1.toml").read_text())


def numbers(seed, *shape):
    """Quarters between -1 and 1."""
    return (np.random.default_rng(seed).integers(-4, 5, shape) / 4).astype(np.float32)


def models(keras2):
    """Return models by name that every dialect can tell."""
    layers, hard = keras2.layers, {"recurrent_activation": "hard_sigmoid"}
    first = {"data_format": "channels_first"}
    return {
        "image": keras2.Sequential(
            [
                layers.Input((7, 6, 2)),
                layers.Conv2D(3, 2, activation="relu", name="conv"),
                layers.LocallyConnected2D(4, (3, 2), strides=(2, 1), name="local"),
                layers.Flatten(),
                layers.Dense(2, name="dense"),
            ]
        ),
        "channels first": keras2.Sequential(
            [
                layers.Input((2, 6, 5)),
                layers.LocallyConnected2D(3, (2, 3), name="local", **first),
                layers.ZeroPadding2D((1, 2), **first, name="pad"),
                layers.Flatten(),
            ]
        ),
        "sequence": keras2.Sequential(
            [
                layers.Input((9, 3)),
                layers.Conv1D(4, 2, name="conv"),
                layers.LocallyConnected1D(5, 3, strides=2, name="local"),
                layers.Dropout(0.5, name="drop"),
                layers.LSTM(4, return_sequences=True, name="lstm", **hard),
                layers.GRU(3, reset_after=False, name="gru", **hard),
            ]
        ),
    }


def words_of_keras_1(layer):
    """Return the entry of a layer as Keras 1 wrote it."""
    name, config = layer["class_name"], dict(layer["config"])
    if name == "ZeroPadding2D":  # which did not say its data format
        return {"class_name": name, "config": {key: config[key] for key in ("name", "trainable")} | {"padding": [1, 2]}}
    words = KERAS_1["common"] | KERAS_1["classes"].get(name, {})
    new = {words.get(key, key): value for key, value in config.items() if key not in KERAS_1["dropped"]}
    if "init" in new:
        new["init"] = "glorot_uniform"
    if "kernel_size" in new:
        sizes = new.pop("kernel_size")
        new |= {"filter_length": sizes[0]} if len(sizes) == 1 else {"nb_row": sizes[0], "nb_col": sizes[1]}
    if "subsample_length" in new:
        new["subsample_length"] = new["subsample_length"][0]
    if "dim_ordering" in new:
        new["dim_ordering"] = {"channels_first": "th", "channels_last": "tf"}[new["dim_ordering"]]
        if name.endswith("1D"):
            del new["dim_ordering"]
    if name in ("LSTM", "GRU"):
        new |= {
            "inner_init": "orthogonal",
            "consume_less": "cpu",
            "W_regularizer": {"name": "WeightRegularizer", "l2": 0.5},
        }
        new |= {"forget_bias_init": "one"} if name == "LSTM" else {}
    if "filter_length" in new or "nb_row" in new:
        new |= {"W_constraint": {"name": "MaxNorm", "m": 9, "axis": 0}, "b_regularizer": None, "input_dtype": "float32"}
    return {"class_name": {"Conv1D": "Convolution1D", "Conv2D": "Convolution2D"}.get(name, name), "config": new}


def arrays_of_keras_1(layer, held):
    """Return the arrays of a layer, by name, as Keras 1 stored them."""
    name, kind = layer["config"]["name"], layer["class_name"]
    if kind == "Conv1D":
        held = [held[0][:, None], *held[1:]]
    if kind in ("LSTM", "GRU"):
        letters = "ifco" if kind == "LSTM" else "zrh"
        gates = [np.split(array, len(letters), axis=-1) for array in held]
        order = "icfo" if kind == "LSTM" else "zrh"
        return {
            f"{name}_{word}_{letter}": gates[part][letters.index(letter)]
            for letter in order
            for part, word in enumerate("WUb")
        }
    return dict(zip((f"{name}_W", f"{name}_b"), held, strict=False))


def keras_1(path, model):
    """Write a model as Keras 1 did: its words, one array per gate, no version beside the weights."""
    import h5py

    found = json.loads(model.to_json())["config"]["layers"]
    shape = found[0]["config"]["batch_input_shape"]
    entries = [words_of_keras_1(layer) for layer in found[1:]]
    entries[0]["config"]["batch_input_shape"] = shape
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"1.2.2"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": entries}).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [layer["config"]["name"].encode() for layer in found[1:]]
        for layer, live in zip(found[1:], model.layers, strict=True):
            inside = group.create_group(layer["config"]["name"])
            stored = arrays_of_keras_1(layer, live.get_weights())
            inside.attrs["weight_names"] = [name.encode() for name in stored]
            for name, array in stored.items():
                inside[name] = array


def edited(path, change):
    """Edit the layers of the configuration in a file."""
    import h5py

    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(change(model)).encode()


def without_input(model):
    """Return a Sequential model whose first layer states the shape of its input."""
    first, *rest = model["config"]["layers"]
    kept = [{key: layer[key] for key in ("class_name", "config")} for layer in rest]
    kept[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": kept}}


def as_list(model):
    """Return it as Keras 2.0 to 2.2.2 did: a list of layers."""
    return {"class_name": "Sequential", "config": without_input(model)["config"]["layers"]}


POLICIES = {
    "policy": {"class_name": "Policy", "config": {"name": "float32"}},
    "first policy": {"class_name": "PolicyV1", "config": {"name": "float32", "loss_scale": None}},
    "inferred": {"class_name": "Policy", "config": {"name": "infer"}},
    "infer with variables": {"class_name": "Policy", "config": {"name": "infer_with_float32_vars"}},
}


def with_policy(policy):
    """Return what puts a dtype policy into every layer."""

    def change(model):
        for layer in model["config"]["layers"][1:]:
            layer["config"]["dtype"] = policy
        return model

    return change


def write(folder):
    """Write every model in every dialect, with its input and its answer."""
    import tf_keras

    for name, model in models(tf_keras).items():
        model.set_weights([numbers(n, *array.shape) for n, array in enumerate(model.get_weights())])
        x = numbers(99, 2, *model.input_shape[1:])
        y = np.asarray(model(x))
        keras_1(folder / f"{name}, keras 1.h5", model)
        model.load_weights(folder / f"{name}, keras 1.h5")  # tf_keras reads the arrays of Keras 1
        assert np.array_equal(model(x), y), name
        changes = {"no input": without_input, "list": as_list} | {
            word: with_policy(POLICIES[word]) for word in POLICIES
        }
        for word, change in changes.items():
            path = folder / f"{name}, {word}.h5"
            model.save(path)
            edited(path, change)
            if word in ("no input", "list"):
                assert np.array_equal(tf_keras.models.load_model(path)(x), y), path
        model.save_weights(folder / f"{name}, beside.h5")
        (folder / f"{name}, beside.json").write_text(model.to_json())
        np.savez(folder / f"{name}.npz", x=x, y=y)


def check(folder):
    """Load every file in Keras 3 and by `open_weights`, and compare."""
    import keras

    from lcl_ref.files import open_weights
    from lcl_ref.layers.keras import load_model
    from lcl_ref.layouts import convert

    files = sorted(folder.glob("*.h5"))
    for path in files:
        beside = path.with_suffix(".json") if path.with_suffix(".json").exists() else None
        stored = np.load(folder / f"{path.name.split(',')[0]}.npz")
        model = load_model(path, architecture=beside)
        y = keras.ops.convert_to_numpy(model(stored["x"]))
        # Quarters are exact, but for what exp and tanh of recurrent layers round.
        allowed = 64 * np.finfo(y.dtype).eps if path.name.startswith("sequence") else 0
        assert np.abs(y - stored["y"]).max() <= allowed, path
        spec, weight, bias = model.get_layer("local").canonical()
        with open_weights(path, beside) as file:
            (layer,) = file.layers
            assert layer.spec == spec, path
            held = [file.tensors[part].read() for part in (layer.weight, layer.bias)]
            moved = convert(spec, *held, source=layer.layout, target="canonical")
            assert np.array_equal(moved[0], weight), path
            assert np.array_equal(moved[1], bias), path
    sys.stdout.write(str(len(files)))


if __name__ == "__main__":
    globals()[sys.argv[1]](*map(Path, sys.argv[2:]))
