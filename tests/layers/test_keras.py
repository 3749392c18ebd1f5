"""The Keras 3 layers: on every backend they compute the reference, and old models load into them."""

import json
import zipfile

import h5py
import pytest

from lcl_ref.layers import _keras_models
from tests.support.child import run
from tests.support.keras_programs import SETTINGS
from tests.support.paths import SUPPORT

PROGRAMS = SUPPORT / "keras_programs.py"
BACKENDS = ("jax", "tensorflow", "torch")


@pytest.fixture(scope="module")
def old_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    run(PROGRAMS, "write", folder)
    return folder


@pytest.fixture(scope="module")
def old_networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    run(PROGRAMS, "networks", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_old_models_give_the_same_answers(old_models, backend):
    assert int(run(PROGRAMS, "check", old_models, backend=backend)) == 2 * 2 * len(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_old_networks_give_the_same_answers(old_networks, backend):
    """Functional, nested, shared, of several ends, with convolutions and BatchNormalization."""
    assert int(run(PROGRAMS, "check", old_networks, backend=backend)) == 2 * 12


@pytest.mark.slow
def test_keras_itself_loads_old_models_with_the_layers_restored(old_models):
    run(PROGRAMS, "keras_alone", old_models, backend="torch")


def old_config(nested, call):
    """Return what tf_keras writes into ``config.json`` of a functional model that calls another one."""
    wire = [["in", 0, 0, {}]]
    axis = {
        "module": "keras.layers",
        "class_name": "BatchNormalization",
        "config": {"axis": [3], "batch_input_shape": [None, 4]},
    }
    layers = [
        {"name": "in", "class_name": "InputLayer", "config": {"name": "in"}, "inbound_nodes": []},
        {"name": "inner", "class_name": nested, "config": {"layers": []}, "inbound_nodes": [[*wire]]},
        {"name": "norm", **axis, "inbound_nodes": [[["inner", call, 0, {"other": ["inner", call, 0]}]]]},
        {"name": "local", "module": "keras.layers", "class_name": "LocallyConnected2D", "config": {"filters": 3}}
        | {"registered_name": None, "inbound_nodes": [[["norm", 0, 0, {}]]]},
    ]
    config = {"name": "model", "layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["local", 0, 0]]}
    return {"module": "tf_keras.src.engine.functional", "class_name": "Functional", "config": config}


@pytest.mark.parametrize(("nested", "call"), [("Functional", 1), ("Sequential", 1), ("Sequential", 0)])
def test_configurations_of_old_are_told_in_the_words_of_today(nested, call):
    old = old_config(nested, call)
    new = _keras_models.modern(old)
    assert old == old_config(nested, call)
    assert new["module"] == "keras.src.models.functional"
    model = new["config"]
    assert (model["input_layers"], model["output_layers"]) == (["in", 0, 0], ["local", 0, 0])
    *_, norm, local = model["layers"]
    assert norm["config"] == {"axis": 3}
    assert norm["inbound_nodes"] == [[["inner", 0, 0, {"other": ["inner", 0, 0]}]]]
    assert (local["module"], local["registered_name"]) == (
        "lcl_ref.layers.keras",
        "lcl_backends>LocallyConnected2D",
    )
    assert local["config"] == {"filters": 3}
    assert _keras_models.modern(new) == new


def test_a_file_of_today_is_not_copied(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(_keras_models.modern(old_config("Functional", 1))))
    with _keras_models.modernised(path) as given:
        assert given == path


@pytest.mark.parametrize("name", ["folder", "cut.keras", "missing.h5"])
def test_what_is_no_model_is_refused_in_words(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.keras").write_bytes(b"PK and no more")
    error, words = (FileNotFoundError, "no file") if "missing" in name else (ValueError, "no whole .h5 or .keras file")
    with pytest.raises(error, match=words), _keras_models.modernised(tmp_path / name):
        raise AssertionError


def test_weights_without_a_model_are_refused_with_what_to_do(tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = [1.0]
    with (
        pytest.raises(ValueError, match=r"weights.h5 holds weights without a model. Instead: build the model"),
        _keras_models.modernised(tmp_path / "weights.h5"),
    ):
        raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_compute_the_reference_and_train(backend):
    run(PROGRAMS, "layers", backend=backend)


MESSAGES = """
import keras
from lcl_ref.layers.keras import LocallyConnected2D
for make in (
    lambda: LocallyConnected2D(3, (2, 2, 2)),
    lambda: LocallyConnected2D(3, 2, padding="causal"),
    lambda: LocallyConnected2D(3, 2, implementation=4),
    lambda: LocallyConnected2D(3, 9)(keras.Input((8, 8, 2))),
    lambda: LocallyConnected2D(3, 2)(keras.Input((None, 8, 2))),
):
    try:
        make()
    except ValueError as error:
        print(str(error).replace(chr(10), " "))
"""


@pytest.mark.slow
def test_errors_say_what_was_expected():
    kernel, padding, implementation, small, unknown = run(backend="torch", program=MESSAGES).splitlines()
    assert "kernel_size of LocallyConnected2D must be an int or 2 of them. Received: (2, 2, 2)" in kernel
    assert "padding must be one of ('valid', 'same', 'same_upper', 'same_lower'). Received: 'causal'" in padding
    assert "implementation must be one of (1, 2, 3)" in implementation
    assert "output" in small
    assert "must be known" in unknown


FANS = """
import keras
from lcl_ref.layers.keras import LocallyConnected2D
for implementation in (1, 2, 3):
    keras.utils.set_random_seed(1)
    layer = LocallyConnected2D(16, 5, implementation=implementation)
    layer.build((None, 20, 20, 3))
    print(abs(layer.canonical()[1]).max())
"""


@pytest.mark.slow
def test_initial_weights_see_the_fans_of_one_position():
    largest = [float(line) for line in run(backend="torch", program=FANS).splitlines()]
    bound = (6 / (5 * 5 * 3 + 16)) ** 0.5
    assert largest[0] == largest[1] == largest[2]
    assert 0.99 * bound < largest[0] <= bound
