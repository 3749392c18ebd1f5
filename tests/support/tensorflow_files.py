"""Write one model in every container of TensorFlow: ``write FOLDER``, a program of a process of its own.

``loads FOLDER`` loads in Keras 2 what was converted from them.

TensorFlow.js files are written anew from their documented form: what its converter writes of a ``.h5``.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
warnings.simplefilter("ignore")


def model(keras2):
    """Return a compiled model with a locally connected layer, and another in a model inside."""
    layers = keras2.layers
    inner = keras2.Sequential(
        [layers.Input((6, 5, 4)), layers.LocallyConnected2D(3, (3, 2), name="inside"), layers.ReLU()], name="inner"
    )
    made = keras2.Sequential(
        [
            layers.Input((6, 5, 2)),
            layers.Conv2D(4, 1, name="conv"),
            layers.BatchNormalization(name="normal"),
            inner,
            layers.Reshape((16, 3)),
            layers.LocallyConnected1D(4, 2, strides=2, name="local", activation="relu"),
            layers.LSTM(3, name="lstm"),
            layers.Dense(2, name="dense"),
        ]
    )
    draw = np.random.default_rng(0)
    made.set_weights([draw.random(array.shape).astype(np.float32) for array in made.get_weights()])
    made.compile("adam", "mse")
    return made


def quantised(array, kind):
    """Return an array in fewer bits, and what a manifest says of it."""
    if kind == "float16":
        return array.astype(np.float16), {"dtype": "float16", "original_dtype": "float32"}
    most = np.iinfo(kind).max
    scale, lowest = np.ptp(array) / most or 1.0, array.min()
    stored = np.round((array - lowest) / scale).astype(kind)
    return stored, {"dtype": kind, "min": float(lowest), "scale": float(scale), "original_dtype": "float32"}


def write_tfjs(folder, made, kind="", shards=1):
    """Write a layers model: ``model.json`` and its shards."""
    folder.mkdir()
    entries, data = [], b""
    for variable in made.weights:
        array = variable.numpy()
        facts = {"name": variable.name.partition(":")[0], "shape": list(array.shape), "dtype": "float32"}
        if kind:
            array, facts["quantization"] = quantised(array, kind)
        entries.append(facts)
        data += array.tobytes()
    names = [f"group1-shard{number + 1}of{shards}.bin" for number in range(shards)]
    step = -(-len(data) // shards)
    for number, name in enumerate(names):
        (folder / name).write_bytes(data[number * step : (number + 1) * step])
    topology = {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": json.loads(made.to_json())}
    manifest = [{"paths": names, "weights": entries}]
    document = {"format": "layers-model", "generatedBy": "keras", "modelTopology": topology}
    (folder / "model.json").write_text(json.dumps(document | {"weightsManifest": manifest}))


def loads(folder):
    """Load what was converted, in Keras 2: whole models answer as the old one, weights alone go to the layer's name."""
    import tf_keras

    made = model(tf_keras)
    x = np.random.default_rng(1).random((3, 6, 5, 2)).astype(np.float32)
    for path in sorted(folder.glob("whole*.h5")):
        loaded = tf_keras.models.load_model(path)
        assert all(map(np.array_equal, loaded.get_weights(), made.get_weights())), path
        assert np.array_equal(loaded(x), made(x)), path
    other = tf_keras.models.clone_model(made)
    other.load_weights(folder / "alone.h5", by_name=True)
    got, want = (one.get_layer("local").get_weights() for one in (other, made))
    assert all(map(np.array_equal, got, want))


def write(folder):
    """Write all of them."""
    import tf_keras

    made = model(tf_keras)
    made.save(folder / "model.h5")
    made.save(folder / "model.keras")
    made.save(folder / "saved_model", save_format="tf")
    made.save_weights(folder / "checkpoint" / "w")
    (folder / "model.json").write_text(made.to_json())
    write_tfjs(folder / "tfjs", made)
    write_tfjs(folder / "sharded", made, shards=3)
    for kind in ("uint8", "uint16", "float16"):
        write_tfjs(folder / kind, made, kind)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
