"""`fill` moves whole networks: every layer into its framework's order, by names or by order, or not at all."""

import json
import warnings

import numpy as np
import pytest

from lcl_ref.errors import LayoutError
from lcl_ref.files import convert_file, open_weights
from lcl_ref.porting import fill
from tests.support.marks import quick

EPSILON = 1e-3
SHAPE = (12, 10, 3)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Write a network of images and one of words, in whole numbers, as each format has them, and an answer."""
    import tf_keras

    layer, folder, draw = tf_keras.layers, tmp_path_factory.mktemp("old"), np.random.default_rng(0)
    images = tf_keras.Sequential(
        [
            layer.Input(SHAPE),
            layer.Conv2D(4, 3, activation="relu", name="conv"),
            layer.DepthwiseConv2D(2, depth_multiplier=2, use_bias=False, name="deep"),
            layer.LocallyConnected2D(6, (3, 2), strides=(2, 1), activation="relu", name="first"),
            layer.LocallyConnected2D(5, 2, padding="same", implementation=2, name="second"),
            layer.Flatten(),
            layer.Dense(7, name="dense"),
        ]
    )
    images.set_weights([draw.integers(-2, 3, w.shape).astype("float32") for w in images.get_weights()])
    x = draw.integers(-2, 3, (3, *SHAPE)).astype("float32")
    np.savez(folder / "answer.npz", x=x, y=images(x))
    words = layer.Input((6,))
    y = layer.LSTM(4, return_sequences=True, name="lstm")(layer.Embedding(11, 5, name="words")(words))
    y = layer.Bidirectional(layer.LSTM(2), name="both")(layer.GRU(3, return_sequences=True, name="gru")(y))
    y = layer.BatchNormalization(scale=False, name="norm")(layer.LayerNormalization(name="layer_norm")(y))
    spoken = tf_keras.Model(words, layer.Dense(2, name="out")(y))
    spoken.set_weights([draw.integers(1, 9, w.shape).astype("float32") for w in spoken.get_weights()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras prefers the newer of its formats
        for name, model in (("images", images), ("words", spoken)):
            model.save(folder / f"{name}.h5")
            model.save(folder / f"{name}.keras")
    convert_file(folder / "images.h5", folder / "canonical.safetensors", source="stored", target="canonical")
    convert_file(folder / "images.keras", folder / "flax.npz", source="stored", target="flax/conv_local")
    return folder


FILES = ("images.h5", "images.keras", "canonical.safetensors", "flax.npz")


def torch_network(*, last=True):
    """Return the network of images in torch; `last`: its channels go last before they are flattened."""
    import torch
    from torch import nn

    from lcl_ref.layers.torch import LocallyConnected2d

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.deep = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 2, groups=4)
            self.first = LocallyConnected2d(8, 6, (9, 7), (3, 2), stride=(2, 1))
            self.second = LocallyConnected2d(6, 5, (4, 6), 2, padding="same_keras_local")
            self.dense = nn.Linear(120, 7)

        def forward(self, x):
            y = self.second(self.first(self.deep(self.conv(x).relu())).relu())
            return self.dense((y.movedim(1, -1) if last else y).flatten(1))

    return Network(), lambda model, x: model(torch.from_numpy(x).movedim(-1, 1)).detach().numpy()


def linen_network(folder):
    """Return the network of images in flax.linen, one layer of Flax's own."""
    import jax
    from flax import linen as nn

    from lcl_ref.layers.flax_linen import LocallyConnected

    with open_weights(folder / "images.h5") as file:
        first, second = (layer.spec for layer in file.layers)

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(4, (3, 3), padding="VALID", name="conv")(x))
            x = nn.Conv(8, (2, 2), padding="VALID", feature_group_count=4, use_bias=False, name="deep")(x)
            x = nn.relu(LocallyConnected(first, name="first")(x))
            x = nn.ConvLocal(5, second.kernel_size, padding=second.padding, name="second")(x)
            return nn.Dense(7, name="dense")(x.reshape(len(x), -1))

    return Network(), jax.jit(Network().init)(jax.random.key(0), np.zeros((1, *SHAPE), "float32"))


def nnx_network(folder):
    """Return the network of images in flax.nnx."""
    from flax import nnx

    from lcl_ref.layers.flax_nnx import LocallyConnected

    with open_weights(folder / "images.h5") as file:
        first, second = (layer.spec for layer in file.layers)

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 4, (3, 3), padding="VALID", rngs=rngs)
            options = {"padding": "VALID", "feature_group_count": 4, "use_bias": False, "rngs": rngs}
            self.deep = nnx.Conv(4, 8, (2, 2), **options)
            self.first, self.second = LocallyConnected(first, rngs=rngs), LocallyConnected(second, rngs=rngs)
            self.dense = nnx.Linear(120, 7, rngs=rngs)

        def __call__(self, x):
            y = self.second(nnx.relu(self.first(self.deep(nnx.relu(self.conv(x))))))
            return self.dense(y.reshape(len(y), -1))

    return Network(nnx.Rngs(0))


def mlx_network():
    """Return the network of images in MLX."""
    from mlx import nn

    from lcl_ref.layers.mlx import LocallyConnected2d

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.deep = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 2, groups=4, bias=False)
            self.first = LocallyConnected2d(8, 6, (9, 7), (3, 2), stride=(2, 1))
            self.second = LocallyConnected2d(6, 5, (4, 6), 2, padding="same_keras_local")
            self.dense = nn.Linear(120, 7)

        def __call__(self, x):
            y = self.second(nn.relu(self.first(self.deep(nn.relu(self.conv(x))))))
            return self.dense(y.reshape(len(y), -1))

    return Network()


@pytest.mark.parametrize("by", quick(["names", "order"], "names"))
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_torch_computes_what_the_file_did_in_every_format(old, name, last, by):
    model, call = torch_network(last=last)
    told = fill(model, old / name, by=by, flatten="channels_last" if last else "channels_first")
    assert told.pairs == tuple((one, one) for one in ("conv", "deep", "first", "second", "dense"))
    answer = np.load(old / "answer.npz")
    np.testing.assert_array_equal(call(model, answer["x"]), answer["y"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["images.h5", "flax.npz"])
def test_linen_gets_new_variables(old, name):
    module, variables = linen_network(old)
    answer = np.load(old / "answer.npz")
    bound = fill(module.bind(variables), old / name).model
    np.testing.assert_array_equal(bound(answer["x"]), answer["y"])
    alone = fill(variables, old / name).model
    np.testing.assert_array_equal(module.apply(alone, answer["x"]), answer["y"])


@pytest.mark.slow
@pytest.mark.parametrize("by", ["names", "order"])
def test_nnx_and_mlx_are_filled_in_place(old, by):
    import mlx.core as mx

    answer = np.load(old / "answer.npz")
    model = nnx_network(old)
    fill(model, old / "images.keras", by=by)
    np.testing.assert_array_equal(model(answer["x"]), answer["y"])
    model = mlx_network()
    fill(model, old / "images.keras", by=by)
    np.testing.assert_array_equal(np.array(model(mx.array(answer["x"]))), answer["y"])


def test_nothing_is_written_where_anything_does_not_fit(old):
    import torch

    model, _ = torch_network()
    model.extra, model.dense = torch.nn.Linear(2, 2), torch.nn.Linear(119, 7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(LayoutError, match="extra") as caught:
        fill(model, old / "images.h5", flatten="channels_last")
    assert "weight (7, 120), in the model (7, 119)" in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_what_has_no_partner_is_told_and_left_only_where_that_is_asked_for(old):
    import torch

    model, _ = torch_network()
    del model.conv
    model.extra = torch.nn.Linear(2, 2)
    told = fill(model, old / "images.h5", flatten="channels_last", strict=False)
    assert (told.left, told.unfilled) == (("conv",), ("extra",))
    assert str(told).splitlines()[-2:] == ["conv -> nowhere", "nothing -> extra"]


def test_the_order_of_flattened_features_is_never_guessed(old):
    model, _ = torch_network()
    with pytest.raises(LayoutError, match=r"dense.*flattened from \(4, 6, 5\), channels last; say how the model"):
        fill(model, old / "images.h5")
    fill(model, old / "images.h5", flatten={"dense": "channels_last"})


def test_names_that_nobody_has_are_refused_with_those_there_are(old):
    model, _ = torch_network()
    with pytest.raises(LayoutError, match=r"dens -> dense, expected stored layers \(conv, deep, dense"):
        fill(model, old / "images.h5", names={"dens": "dense"})


def test_layers_called_otherwise_are_paired_by_hand(old):
    model, call = torch_network()
    model.readout = model.dense
    del model.dense
    fill(model, old / "images.h5", names={"dense": "readout"}, flatten="channels_last")
    model.dense = model.readout
    answer = np.load(old / "answer.npz")
    np.testing.assert_array_equal(call(model, answer["x"]), answer["y"])


def test_a_layer_of_ones_own_is_filled_by_its_layout(old):
    import torch
    from torch import nn

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(6, 48, 24)), nn.Parameter(torch.zeros(6, 24))

        def forward(self, x):
            x = nn.functional.unfold(x, (3, 2), stride=(2, 1))
            return (torch.einsum("nkp,fkp->nfp", x, self.weight) + self.bias).unflatten(-1, (4, 6))

    model, call = torch_network()
    model.first = Own()
    with pytest.raises(LayoutError, match=r"Own keeps .*name its layout"):
        fill(model, old / "images.h5", flatten="channels_last")
    layouts = {"first": "co (ci k*) (o*) | co (o*)"}
    fill(model, old / "images.h5", flatten="channels_last", layouts=layouts)
    answer = np.load(old / "answer.npz")
    np.testing.assert_array_equal(call(model, answer["x"]), answer["y"])


def torch_words(epsilon=EPSILON):
    """Return the network of words in torch, its parts by name."""
    from torch import nn

    parts = {
        "words": nn.Embedding(11, 5),
        "lstm": nn.LSTM(5, 4, batch_first=True),
        "gru": nn.GRU(4, 3, batch_first=True),
        "both": nn.LSTM(3, 2, batch_first=True, bidirectional=True),
        "layer_norm": nn.LayerNorm(4, eps=EPSILON),
        "norm": nn.BatchNorm1d(4, eps=epsilon),
        "out": nn.Linear(4, 2),
    }
    return nn.ModuleDict(parts)


@pytest.mark.parametrize("name", ["words.h5", "words.keras"])
def test_recurrent_layers_get_their_gates_in_order(old, name):
    model = torch_words()
    fill(model, old / name)
    with open_weights(old / "words.h5") as file:
        held = {path.rpartition(":")[0]: tensor.read() for path, tensor in file.tensors.items()}
    z, r, n = np.split(held["gru/gru/gru_cell/kernel"], 3, 1)  # of Keras; torch has r z n
    np.testing.assert_array_equal(model.gru.weight_ih_l0.detach(), np.concatenate([r, z, n], 1).T)
    z, r, n = np.split(held["gru/gru/gru_cell/bias"], 3, 1)
    np.testing.assert_array_equal(model.gru.bias_hh_l0.detach(), np.concatenate([r, z, n], 1)[1])
    backward = held["both/both/backward_lstm/lstm_cell/recurrent_kernel"]
    np.testing.assert_array_equal(model.both.weight_hh_l0_reverse.detach(), backward.T)
    assert not model.lstm.bias_hh_l0.detach().any()  # Keras has one bias, torch two
    np.testing.assert_array_equal(model.norm.weight.detach(), np.ones(4))  # scale=False
    np.testing.assert_array_equal(model.norm.running_var, held["norm/norm/moving_variance"])


def test_a_constant_that_differs_is_refused(old):
    with pytest.raises(LayoutError, match=r"norm into norm: got epsilon 0\.001, in the model 1e-05"):
        fill(torch_words(1e-5), old / "words.h5")


@pytest.mark.slow
def test_cells_of_flax_and_mlx_compute_with_the_same_gates(old):
    """Each cell's first step, written out: its gates are where the file has them."""
    import jax
    from flax import linen, nnx
    from mlx import nn

    with open_weights(old / "words.h5") as file:
        held = {path.rpartition(":")[0]: tensor.read() for path, tensor in file.tensors.items()}
    i, _f, c, _o = np.split(held["lstm/lstm/lstm_cell/kernel"], 4, 1)

    class Words(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.RNN(linen.OptimizedLSTMCell(4, name="lstm"))(x)
            return linen.RNN(linen.GRUCell(3, name="gru"))(x)

    variables = jax.jit(Words().init)(jax.random.key(0), np.zeros((1, 6, 5), "float32"))
    told = fill(variables, old / "words.h5", strict=False)
    assert told.pairs == (("lstm", "lstm"), ("gru", "gru"))
    np.testing.assert_array_equal(told.model["params"]["lstm"]["ig"]["kernel"], c)
    z, r, _n = np.split(held["gru/gru/gru_cell/bias"], 3, 1)
    np.testing.assert_array_equal(told.model["params"]["gru"]["ir"]["bias"], r.sum(0))

    class Cells(nnx.Module):
        def __init__(self, rngs):
            self.lstm = nnx.RNN(nnx.LSTMCell(5, 4, rngs=rngs), rngs=rngs)

    cells = Cells(nnx.Rngs(0))
    assert fill(cells, old / "words.h5", strict=False).pairs == (("lstm", "lstm.cell"),)
    np.testing.assert_array_equal(cells.lstm.cell.ii.kernel[...], i)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.gru = nn.LSTM(5, 4), nn.GRU(4, 3)

    both = Both()
    fill(both, old / "words.h5", strict=False)
    np.testing.assert_array_equal(np.array(both.lstm.Wx), held["lstm/lstm/lstm_cell/kernel"].T)
    np.testing.assert_array_equal(np.array(both.gru.b)[3:6], z.sum(0))


def test_a_cell_without_a_place_for_a_bias_is_refused(old):
    from flax import nnx

    class Cells(nnx.Module):
        def __init__(self, rngs):
            self.gru = nnx.RNN(nnx.GRUCell(4, 3, rngs=rngs), rngs=rngs)

    with pytest.raises(LayoutError, match="a bias for dense_h/bias, for which the model has no place"):
        fill(Cells(nnx.Rngs(0)), old / "words.h5", strict=False)


def test_a_converted_file_lists_its_network(old):
    document = json.loads((old / "flax.npz.spec.json").read_text())
    dense = document["network"][-1]
    assert (dense["name"], dense["kind"], dense["features"]) == ("dense", "Dense", [[4, 6, 5]])


def test_a_file_without_layers_and_a_model_of_no_framework_are_refused(old, tmp_path):
    np.savez(tmp_path / "alone.npz", kernel=np.zeros(3))
    with pytest.raises(LayoutError, match="no layers"):
        fill(torch_words(), tmp_path / "alone.npz")
    with pytest.raises(LayoutError, match="a object, expected a model of torch"):
        fill(object(), old / "images.h5")
