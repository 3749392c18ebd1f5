"""Three public architectures, small, old and new: DeepFace, MHCflurry's network, an All-TNN.

A program, for Keras fixes its backend at its first import: ``old FOLDER`` writes each as tf_keras saves it, with
inputs, outputs and gradients in whole numbers; ``torch``, ``flax`` and ``keras FOLDER`` fill the same network of today
from these files and hold outputs and gradients against them, bit for bit. Gradients are stored as the weights of a file
of the same model, so that `fill` puts each into the order of axes of the parameter it belongs to.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from lcl_ref.porting import fill

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
NETWORKS = ("deepface", "mhcflurry", "all_tnn")


def deepface(keras, layers, local):
    """Return C1 to F8 of DeepFace, for images of 30 x 28."""
    return keras.Sequential(
        [
            layers.Input((30, 28, 3)),
            layers.Conv2D(4, 5, activation="relu", name="C1"),
            layers.MaxPooling2D(3, 2, "same", name="M2"),
            layers.Conv2D(3, 3, activation="relu", name="C3"),
            local.LocallyConnected2D(3, 3, activation="relu", name="L4"),
            local.LocallyConnected2D(4, 3, strides=2, activation="relu", name="L5"),
            local.LocallyConnected2D(3, 2, activation="relu", name="L6"),
            layers.Flatten(name="F0"),
            layers.Dense(8, activation="relu", name="F7"),
            layers.Dense(5, name="F8"),
        ]
    )


def mhcflurry(keras, layers, local):
    """Return the network of a peptide, of 15 places, and an allele: two inputs, joined after they are flattened."""
    peptide, allele = layers.Input((15, 21), name="peptide"), layers.Input((1,), name="allele")
    y = local.LocallyConnected1D(8, 3, activation="tanh", name="local_0")(peptide)
    y = local.LocallyConnected1D(6, 3, activation="tanh", name="local_1")(y)
    of_allele = layers.Flatten(name="flat_allele")(layers.Embedding(9, 4, name="embedding")(allele))
    y = layers.Concatenate(name="joined")([layers.Flatten(name="flat_peptide")(y), of_allele])
    y = layers.Dense(16, activation="tanh", name="dense_0")(y)
    return keras.Model([peptide, allele], layers.Dense(1, activation="sigmoid", name="output")(y))


def all_tnn(keras, layers, local):
    """Return six sheets of units, pooled after 1, 3 and 5; without normalisation, which rounds."""
    sheets = [layers.Input((20, 18, 3))]
    for number, filters in enumerate((4, 3, 4, 3, 4, 3), 1):
        options = {"padding": "same", "implementation": 2 + number % 2}
        sheets.append(local.LocallyConnected2D(filters, 3, activation="relu", name=f"sheet_{number}", **options))
        sheets += [layers.MaxPooling2D(2, name=f"pool_{number}")] * (number % 2)
    return keras.Sequential([*sheets, layers.Flatten(name="flat"), layers.Dense(5, name="readout")])


def drawn(name, shape, draw, factor):
    """Return small whole numbers, few of them other than 0, so that sums stay exact through the whole network."""
    if len(shape) == 1 or "bias" in name:
        return draw.integers(0, 2, shape) * factor
    fan = int(np.prod(shape[-4:-1] if len(shape) > 3 else shape[-2:-1]))
    return draw.choice([-1, 0, 1], shape, p=[min(0.3, 2 / fan), 1 - 2 * min(0.3, 2 / fan), min(0.3, 2 / fan)]) * factor


def inputs_of(name, draw):
    """Return inputs of a network."""
    if name == "mhcflurry":
        return [
            np.eye(21, dtype="float32")[draw.integers(0, 21, (12, 15))],
            draw.integers(0, 9, (12, 1)).astype("int32"),
        ]
    return [draw.integers(0, 3, (3, *((30, 28, 3) if name == "deepface" else (20, 18, 3)))).astype("float32")]


def old(folder):
    """Write models, inputs, outputs, and gradients as weights: of the first draw in which every gradient moves."""
    import tf_keras

    for name in NETWORKS:
        model = globals()[name](tf_keras, tf_keras.layers, tf_keras.layers)
        tried = (asked(name, model, np.random.default_rng(seed)) for seed in range(200))
        weights, arrays, gradients = next(one for one in tried if all(map(np.any, one[2])))
        for ending, held in (("h5", weights), ("gradients.h5", gradients)):
            model.set_weights(held)
            model.save(folder / f"{name}.{ending}")
        np.savez(folder / f"{name}.npz", **arrays)


def asked(name, model, draw):
    """Return weights, inputs with outputs and cotangents, and gradients, of one draw."""
    import tensorflow as tf

    factor = 16 if name == "mhcflurry" else 1
    weights = [
        drawn(one.name, one.shape, draw, 128 if "output" in one.name else factor).astype("float32")
        for one in model.weights
    ]
    model.set_weights(weights)
    xs = inputs_of(name, draw)
    with tf.GradientTape() as tape:
        y = model(xs if len(xs) > 1 else xs[0])
        dy = draw.integers(-2, 3, y.shape).astype("float32")
        loss = tf.reduce_sum(y * dy)
    gradients = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(loss, model.trainable_variables)]
    arrays = {f"x{place}": x for place, x in enumerate(xs)} | {"y": y.numpy(), "dy": dy}
    return weights, arrays, gradients


def of_torch(name):
    """Return the network as modules of torch; channels come first, and go last before they are flattened."""
    import torch
    from torch import nn

    from lcl_ref.layers.torch import LocallyConnected1d, LocallyConnected2d

    class ChannelsLast(nn.Module):
        def forward(self, x):
            return x.movedim(1, -1)

    class Peptides(nn.Module):
        def __init__(self):
            super().__init__()
            self.local_0, self.local_1 = LocallyConnected1d(21, 8, 15, 3), LocallyConnected1d(8, 6, 13, 3)
            self.embedding = nn.Embedding(9, 4)
            self.dense_0, self.output = nn.Linear(70, 16), nn.Linear(16, 1)

        def forward(self, peptide, allele):
            y = torch.tanh(self.local_1(torch.tanh(self.local_0(peptide))))
            y = torch.cat([y.mT.flatten(1), self.embedding(allele).flatten(1)], 1)
            return torch.sigmoid(self.output(torch.tanh(self.dense_0(y))))

    if name == "mhcflurry":
        return Peptides()
    if name == "deepface":
        local = [
            LocallyConnected2d(3, 3, (11, 10), 3),
            LocallyConnected2d(3, 4, (9, 8), 3, stride=2),
            LocallyConnected2d(4, 3, (4, 3), 2),
        ]
        relu = [one for layer in local for one in (layer, nn.ReLU())]
        head = [nn.Conv2d(3, 4, 5), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 3, 3), nn.ReLU()]
        return nn.Sequential(*head, *relu, ChannelsLast(), nn.Flatten(), nn.Linear(18, 8), nn.ReLU(), nn.Linear(8, 5))
    sheets, channels, size = [], 3, (20, 18)
    for number, filters in enumerate((4, 3, 4, 3, 4, 3), 1):
        sheets += [LocallyConnected2d(channels, filters, size, 3, padding="same_keras_local"), nn.ReLU()]
        sheets += [nn.MaxPool2d(2)] * (number % 2)
        channels, size = filters, tuple(n // 2 for n in size) if number % 2 else size
    return nn.Sequential(*sheets, ChannelsLast(), nn.Flatten(), nn.Linear(12, 5))


def torch(folder, name, xs, dy):
    """Return outputs, and pairs of gradients: computed, and those of the old model."""
    import torch

    made, wanted = of_torch(name), of_torch(name)
    by = "names" if name == "mhcflurry" else "order"
    told = fill(made, folder / f"{name}.h5", by=by, flatten="channels_last")
    fill(wanted, folder / f"{name}.gradients.h5", by=by, flatten="channels_last")
    y = made(*(torch.from_numpy(np.moveaxis(x, -1, 1) if x.ndim > 2 else x) for x in xs))
    y.backward(torch.from_numpy(dy))
    pairs = zip(made.parameters(), wanted.parameters(), strict=True)
    return told, y.detach().numpy(), [(one.grad.numpy(), two.detach().numpy()) for one, two in pairs]


def _pulled(call, held, xs, dy):
    """Return output and gradient of JAX, compiled as a whole, which takes less time than operation by operation."""
    import jax

    @jax.jit
    def both(held):
        y, pull = jax.vjp(lambda held: call(held, *xs), held)
        return y, pull(dy)[0]

    return both(held)


def of_flax(name, specs):
    """Return the network as a module of flax.linen."""
    import jax.numpy as jnp
    from flax import linen as nn

    from lcl_ref.layers.flax_linen import LocallyConnected

    class DeepFace(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = nn.relu(nn.Conv(4, (5, 5), padding="VALID", name="C1")(x))
            y = nn.max_pool(y, (3, 3), (2, 2), "SAME")
            y = nn.relu(nn.Conv(3, (3, 3), padding="VALID", name="C3")(y))
            for layer in ("L4", "L5", "L6"):
                y = nn.relu(LocallyConnected(specs[layer], name=layer)(y))
            return nn.Dense(5, name="F8")(nn.relu(nn.Dense(8, name="F7")(y.reshape(len(y), -1))))

    class Peptides(nn.Module):
        @nn.compact
        def __call__(self, peptide, allele):
            y = jnp.tanh(LocallyConnected(specs["local_0"], name="local_0")(peptide))
            y = jnp.tanh(LocallyConnected(specs["local_1"], name="local_1")(y))
            of_allele = nn.Embed(9, 4, name="embedding")(allele)
            y = jnp.concatenate([y.reshape(len(y), -1), of_allele.reshape(len(y), -1)], 1)
            return nn.sigmoid(nn.Dense(1, name="output")(jnp.tanh(nn.Dense(16, name="dense_0")(y))))

    class AllTnn(nn.Module):
        @nn.compact
        def __call__(self, x):
            for number in range(1, 7):
                x = nn.relu(LocallyConnected(specs[f"sheet_{number}"], name=f"sheet_{number}")(x))
                x = nn.max_pool(x, (2, 2), (2, 2)) if number % 2 else x
            return nn.Dense(5, name="readout")(x.reshape(len(x), -1))

    return {"deepface": DeepFace, "mhcflurry": Peptides, "all_tnn": AllTnn}[name]()


def flax(folder, name, xs, dy):
    """Return outputs, and pairs of gradients: computed, and those of the old model."""
    import jax

    from lcl_ref.files import open_weights

    with open_weights(folder / f"{name}.h5") as file:
        net = of_flax(name, {layer.name: layer.spec for layer in file.layers})
    variables = jax.jit(net.init)(jax.random.key(0), *xs)
    told = fill(variables, folder / f"{name}.h5")
    wanted = fill(variables, folder / f"{name}.gradients.h5").model
    y, found = _pulled(net.apply, told.model, xs, dy)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return told, np.asarray(y), [(np.asarray(one), np.asarray(two)) for one, two in pairs]


def keras(folder, name, xs, dy):
    """Return the same, of Keras 3 on the backend that ``KERAS_BACKEND`` names."""
    import keras

    import lcl_ref.layers.keras as local

    made, wanted = (globals()[name](keras, keras.layers, local) for _ in range(2))
    told = fill(made, folder / f"{name}.h5")
    fill(wanted, folder / f"{name}.gradients.h5")
    y, found = KERAS[keras.backend.backend()](made, xs if len(xs) > 1 else xs[0], dy)
    return told, np.asarray(y), list(zip(map(np.asarray, found), wanted.get_weights(), strict=True))


def _of_jax(model, xs, dy):
    held = [variable.value for variable in model.trainable_variables]
    return _pulled(lambda held, xs: model.stateless_call(held, [], xs)[0], held, [xs], dy)


def _of_tensorflow(model, xs, dy):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        y = model(xs)
        loss = tf.reduce_sum(y * dy)
    return y, [tf.convert_to_tensor(one) for one in tape.gradient(loss, [v.value for v in model.trainable_variables])]


def _of_torch(model, xs, dy):
    import torch

    y = model(xs)
    y.backward(torch.from_numpy(dy))
    return y.detach(), [variable.value.grad for variable in model.trainable_variables]


KERAS = {"jax": _of_jax, "tensorflow": _of_tensorflow, "torch": _of_torch}


def hold(side, folder):
    """Compare a framework's networks with the old ones, and print how many numbers agree."""
    counts = {}
    for name in NETWORKS:
        arrays = np.load(folder / f"{name}.npz")
        xs = [arrays[key] for key in arrays.files if key.startswith("x")]
        told, y, gradients = globals()[side](folder, name, xs, arrays["dy"])
        np.testing.assert_array_equal(y, arrays["y"], f"{name}: outputs")
        assert np.unique(y).size > 1, f"{name}: outputs say nothing"
        for place, (got, expected) in enumerate(gradients):
            np.testing.assert_array_equal(got, expected, f"{name}: gradient {place}")
        assert all(np.any(expected) for _, expected in gradients), f"{name}: a gradient says nothing"
        counts[name] = [len(told.pairs), sum(one.size for one, _ in gradients)]
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "old":
        old(Path(sys.argv[2]))
    else:
        hold(sys.argv[1], Path(sys.argv[2]))
