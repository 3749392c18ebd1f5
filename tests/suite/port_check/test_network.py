"""`verify_network` runs a whole network of today against the old one: a right port holds, a wrong one is named."""

import json
import warnings

import numpy as np
import pytest

from lcl_ref.errors import FileError
from lcl_ref.suite.port_check import network
from tests.support.programs import lcl

NETS = """
from torch import nn
from lcl_ref.layers.torch import LocallyConnected1d
from lcl_ref.porting import fill


class Net(nn.Module):
    def __init__(self, relu=True, last=True):
        super().__init__()
        self.words, self.conv = nn.Embedding(11, 5), nn.Conv1d(5, 4, 2)
        self.norm, self.local = nn.BatchNorm1d(4, eps=1e-3), LocallyConnected1d(4, 3, 8, 3)
        self.gru, self.out = nn.GRU(3, 2, batch_first=True), nn.Linear(12, 2)
        self.relu, self.last = relu, last

    def forward(self, x):
        y = self.conv(self.words(x).mT)
        y = self.local(self.norm(y.relu() if self.relu else y)).tanh()
        y = self.gru(y.mT)[0]
        return self.out((y if self.last else y.mT).flatten(1))


def right(stored):
    return fill(Net(), stored)


def by_names():
    return Net()


def no_relu(stored):
    return fill(Net(relu=False), stored)


def flattened_otherwise(stored):
    return fill(Net(last=False), stored)
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Write a network with recurrent, normalising and convolving layers around a locally connected one."""
    import tf_keras

    layer, folder = tf_keras.layers, tmp_path_factory.mktemp("network")
    model = tf_keras.Sequential(
        [
            layer.Input((9,)),
            layer.Embedding(11, 5, name="words"),
            layer.Conv1D(4, 2, activation="relu", name="conv"),
            layer.BatchNormalization(name="norm"),
            layer.LocallyConnected1D(3, 3, activation="tanh", name="local"),
            layer.GRU(2, return_sequences=True, name="gru"),
            layer.Flatten(),
            layer.Dense(2, name="out"),
        ]
    )
    draw = np.random.default_rng(0)
    model.set_weights([draw.random(w.shape).astype("float32") - ("var" not in v.name) / 2 for v, w in _held(model)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras prefers the newer of its formats
        model.save(folder / "old.h5")
    (folder / "nets.py").write_text(NETS)
    return folder


def _held(model):
    return zip(model.weights, model.get_weights(), strict=True)


def asked(folder, name):
    done = lcl("verify-port", "old.h5", "old.h5", "--model", f"nets.py:{name}", "--json", cwd=folder)
    return done.returncode, {one["layer"]: one for one in json.loads(done.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["right", "by_names"])
def test_a_right_port_holds_at_every_layer(old, name):
    status, found = asked(old, name)
    assert status == 0
    assert list(found) == ["words", "conv", "norm", "local", "gru", "out", "output 0"]
    assert {one["state"] for one in found.values()} == {"pass"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first", "before"), [("no_relu", "norm", "conv"), ("flattened_otherwise", "out", "gru")]
)
def test_the_first_layer_that_differs_is_named_with_the_one_before(old, name, first, before):
    status, found = asked(old, name)
    assert status == 1
    failed = [layer for layer, one in found.items() if one["state"] == "fail"]
    assert failed[0] == first
    assert f"the first that differs: its arrays, or what lies between {before} and it" in found[first]["message"]


def test_what_cannot_be_run_is_refused_before_it_is(tmp_path, old):
    with pytest.raises(FileError, match=r"FILE\.py:NAME"):
        network.verify_network(old / "old.h5", old / "old.h5", "missing.py:make")
    np.savez(tmp_path / "arrays.npz", kernel=np.zeros(3))
    with pytest.raises(FileError, match=r"a \.h5 or \.keras of Keras 2"):
        network.verify_network(tmp_path / "arrays.npz", old / "old.h5", f"{old / 'nets.py'}:right")


@pytest.mark.parametrize(
    "entry",
    [
        {"class_name": "Lambda", "config": {}},
        {"class_name": "TFOpLambda", "config": {"function": "io.write_file"}},
        {"class_name": "system", "module": "os", "config": {}},
        {"class_name": "mine>Layer", "config": {}},
    ],
)
def test_a_file_that_names_code_is_not_run(entry):
    plain = {"class_name": "Dense", "module": "keras.layers", "config": {}}
    assert network._foreign({"class_name": "Functional", "config": {"layers": [plain]}}) == ""
    assert network._foreign({"class_name": "Functional", "config": {"layers": [plain, entry]}})


def test_an_activation_holds_within_the_rounding_of_float32_and_not_beyond():
    old = np.array([[1.0, -2.0], [0.5, 1.5]])
    assert network._compared([old], old + 2.0**-24)[1] == ""
    ratio, told = network._compared([old], old + 2.0**-22)
    assert ratio == 2.0
    assert "2 times the rounding of float32" in told
    assert network._compared([old], old[:1])[1] == "shape (1, 2), in the old network (2, 2)"
    assert network._compared([old[None]], np.moveaxis(old[None], -1, 1)) == (0.0, "")
