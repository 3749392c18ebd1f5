"""Keras models as TensorFlow and TensorFlow.js keep them: the layers are those of the ``.h5`` of the same model."""

import json
from pathlib import Path

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights
from tests.support.paths import SUPPORT
from tests.support.programs import python


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One model, with a nested one, in every container that tf_keras writes."""
    folder = tmp_path_factory.mktemp("saved")
    done = python(SUPPORT / "tensorflow_files.py", "write", folder)
    assert done.returncode == 0, done.stderr
    return folder


def layers(path, spec=None):
    """Return name -> (spec, canonical weight and bias) of the layers of a file."""
    with open_weights(path, spec) as file:
        return {
            layer.name: (
                layer.spec,
                *lcl.layouts.convert(
                    layer.spec,
                    file.tensors[layer.weight].read(),
                    file.tensors[layer.bias].read(),
                    source=layer.layout,
                    target="canonical",
                ),
            )
            for layer in file.layers
        }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert len(found) == 2
    for name, (spec, weight, bias) in found.items():
        assert spec == expected[name][0]
        assert np.array_equal(weight, expected[name][1])
        assert np.array_equal(bias, expected[name][2])


KERAS = "keras2/impl1/channels_last"
CONTAINERS = ("saved_model", "checkpoint", "checkpoint/w.index", "checkpoint/w", "tfjs", "tfjs/model.json", "sharded")


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.slow
def test_layers_are_those_of_the_h5_of_the_same_model(saved, name):
    beside = saved / "model.json" if name.startswith("checkpoint") else None
    assert_same(layers(saved / name, beside), layers(saved / "model.h5"))


@pytest.mark.slow
def test_what_belongs_to_training_is_left_out(saved):
    with open_weights(saved / "saved_model") as file:
        assert file.left
        assert all(name.startswith(("optimizer", "keras_api", "save_counter")) for name in file.left)
        assert "normal/moving_variance" in file.tensors


@pytest.mark.parametrize(("kind", "bits"), [("uint8", 8), ("uint16", 16), ("float16", 10)])
@pytest.mark.slow
def test_quantised_arrays_are_what_tensorflow_js_computes_with(saved, kind, bits):
    exact, found = layers(saved / "model.h5"), layers(saved / kind)
    with open_weights(saved / kind) as file:
        assert any("fewer bits" in note for note in file.notes)
    for name, (_, weight, _) in found.items():
        span = np.ptp(exact[name][1]) if kind != "float16" else np.abs(exact[name][1]).max()
        error = np.abs(weight.astype(np.float64) - exact[name][1]).max()
        assert weight.dtype == np.float32
        assert 0 < error <= span / 2**bits


def edited(saved, folder, change):
    folder.mkdir()
    document = json.loads((saved / "tfjs" / "model.json").read_text())
    (folder / "group1-shard1of1.bin").write_bytes((saved / "tfjs" / "group1-shard1of1.bin").read_bytes())
    change(document, folder)
    (folder / "model.json").write_text(json.dumps(document))
    return folder / "model.json"


def weights_of(document):
    return document["weightsManifest"][0]["weights"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, _: d.update(format="graph-model"), "graph model.*tensorflowjs_converter"),
        (lambda d, _: d.update(modelTopology=None), "arrays without a model"),
        (lambda d, _: d["weightsManifest"][0].update(paths=["../x.bin"]), "name"),
        (lambda d, _: d["weightsManifest"][0].update(paths=["a/x.bin"]), "beside the model.json"),
        (lambda d, _: d["weightsManifest"][0].update(paths=["gone.bin"]), "no file gone.bin.*download all"),
        (lambda _, f: (f / "group1-shard1of1.bin").write_bytes(b"1234"), "size|bytes"),
        (lambda d, _: weights_of(d).pop(), "shards of .* bytes, as listed; download"),
        (lambda d, _: weights_of(d)[0].update(shape=[-1, 2]), "array"),
        (lambda d, _: weights_of(d)[0].update(shape=[10**9, 10**9]), "array"),
        (lambda d, _: weights_of(d)[0].update(dtype="string"), "dtype"),
        (lambda d, _: weights_of(d)[0].update(quantization={"dtype": "uint4"}), "without quantisation"),
        (lambda d, _: weights_of(d)[0].update(name="../../x"), "name"),
        (lambda d, _: d["weightsManifest"].append(3), "TensorFlow.js"),
    ],
)
@pytest.mark.slow
def test_a_model_json_that_is_wrong_is_refused(saved, tmp_path, change, message):
    path = edited(saved, tmp_path / "model", change)
    with pytest.raises(lcl.FileError, match=message), open_weights(path):
        pass


@pytest.mark.slow
def test_keras_2_loads_what_is_written_from_any_of_them(saved, tmp_path):
    for name in ("saved_model", "tfjs", "sharded", "checkpoint"):
        beside = saved / "model.json" if name == "checkpoint" else None
        convert_file(saved / name, tmp_path / f"whole {name}.h5", source="stored", target=KERAS, spec=beside)
    convert_file(saved / "model.h5", tmp_path / "a.safetensors", source="stored", target="canonical", layer="local")
    alone = json.loads((tmp_path / "a.safetensors.spec.json").read_text())["layers"][0]
    assert alone["name"] == "local"
    with open_weights(tmp_path / "a.safetensors") as file:
        arrays = {"w.weight": file.tensors[alone["weight"]].read(), "w.bias": file.tensors[alone["bias"]].read()}
    np.savez(tmp_path / "b.npz", **arrays)
    document = {"format": "lcl-weights/1", "layers": [alone | {"weight": "w.weight", "bias": "w.bias"}]}
    (tmp_path / "b.npz.spec.json").write_text(json.dumps(document))
    convert_file(tmp_path / "b.npz", tmp_path / "alone.h5", source="stored", target=KERAS)
    done = python(SUPPORT / "tensorflow_files.py", "loads", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_model_inside_a_model_has_an_order_of_its_own_in_a_keras_archive(saved, tmp_path):
    with pytest.raises(lcl.FileError, match=r"array 'layers/sequential/.*write a .safetensors"):
        convert_file(saved / "model.keras", tmp_path / "m.h5", source="stored", target=KERAS)


@pytest.mark.slow
def test_damaged_checkpoints_are_refused(saved, tmp_path):
    for name in ("w.index", "w.data-00000-of-00001"):
        data = (saved / "checkpoint" / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(lcl.FileError, match=r"a checkpoint of TensorFlow, whole and undamaged|data files"):
        layers(tmp_path / "w.index", saved / "model.json")
    for name in ("a.index", "b.index"):
        (tmp_path / "two" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "two" / name).write_bytes(b"")
    (tmp_path / "two" / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/c"')
    with pytest.raises(lcl.FileError, match=r"2 checkpoints \(a, b\), expected one"):
        layers(Path(tmp_path / "two"))
