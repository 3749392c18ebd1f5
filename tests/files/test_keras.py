"""Keras files written by tf_keras and Keras 3 here and now: read, converted, written again, and verified."""

import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights
from lcl_ref.files.keras import config
from lcl_ref.files.keras.shapes import output_shape
from lcl_ref.layouts import LAYOUTS, get
from tests.support.marks import quick


@pytest.fixture(scope="module", name="tf_keras")
def keras_2():
    import tf_keras

    return tf_keras


@pytest.fixture
def sequential(tf_keras, tmp_path):
    """Return a model with integer weights, the file it is saved in, and a function that converts that file."""
    model, path = build_sequential(tf_keras), tmp_path / "model.keras"
    integer_weights(model)
    model.save(path)
    return model, path, lambda name, **options: convert_file(path, tmp_path / name, **{"source": "stored"} | options)


def integer_weights(model):
    """Small integers everywhere, so that the layers compute exactly in float32; variances stay positive."""
    draw = np.random.default_rng(5)
    model.set_weights([draw.integers(1, 4, weight.shape).astype(np.float32) for weight in model.get_weights()])


def build_sequential(tf_keras):
    layer = tf_keras.layers
    return tf_keras.Sequential(
        [
            layer.Input((11, 9, 2)),
            layer.Conv2D(3, 2, activation="relu", name="conv"),
            layer.MaxPooling2D(2, 1),
            layer.LocallyConnected2D(4, (3, 2), strides=(2, 1), name="first"),
            layer.LocallyConnected2D(3, 2, padding="same", strides=2, implementation=3, use_bias=False, name="second"),
            layer.BatchNormalization(name="norm"),
            layer.Flatten(),
            layer.Dense(5, name="dense"),
        ]
    )


def build_functional(tf_keras):
    layer = tf_keras.layers
    signal = layer.Input((12, 3), name="signal")
    left = layer.LocallyConnected1D(4, 3, strides=2, name="left")(signal)
    right = layer.LocallyConnected1D(4, 4, strides=2, implementation=2, padding="same", name="right")(signal)
    joined = layer.Concatenate(axis=1)([left, right])
    after = layer.LocallyConnected1D(2, 2, strides=3, implementation=1, name="after")(layer.Dropout(0.5)(joined))
    output = layer.Dense(3, name="dense")(layer.BatchNormalization(name="norm")(after))
    return tf_keras.Model(signal, [output, joined])


def build_nested(tf_keras):
    layer = tf_keras.layers
    inner = tf_keras.Sequential(
        [layer.LocallyConnected2D(3, 2, implementation=2, name="local"), layer.Conv2D(2, 1, name="conv")], name="inner"
    )
    image = layer.Input((9, 8, 3))
    middle = layer.LocallyConnected2D(2, 2, name="local_before")(inner(layer.ZeroPadding2D(1)(image)))
    entrance = layer.Input(middle.shape[1:])
    branch = layer.LocallyConnected2D(2, 3, strides=2, name="deep")(layer.ReLU()(entrance))
    outer = tf_keras.Model(entrance, branch, name="outer")
    return tf_keras.Model(image, layer.Dense(2, name="dense")(outer(middle)))


def build_channels_first(tf_keras):
    layer = tf_keras.layers
    first = {"data_format": "channels_first"}
    return tf_keras.Sequential(
        [
            layer.Input((3, 8, 7)),
            layer.LocallyConnected2D(4, (2, 3), strides=(2, 1), name="one", **first),
            layer.LocallyConnected2D(2, 3, padding="same", implementation=2, name="two", **first),
            layer.LocallyConnected2D(3, 2, implementation=3, name="three", **first),
            layer.BatchNormalization(axis=1, name="norm"),
            layer.Flatten(**first),
            layer.Dense(2, name="dense"),
        ]
    )


MODELS = {
    "sequential": (build_sequential, {"first": "first", "second": "second"}),
    "functional": (build_functional, {"left": "left", "right": "right", "after": "after"}),
    "nested": (build_nested, {"inner/local": "local", "local_before": "local_before", "outer/deep": "deep"}),
    "channels_first": (build_channels_first, {"one": "one", "two": "two", "three": "three"}),
}
"""Kind -> how it is built, and the names of its locally connected layers with what Keras calls them."""


def find(model, name):
    """Return the layer of that name in a model or the models inside it."""
    for layer in model.layers:
        if layer.name == name:
            return layer
        if hasattr(layer, "layers") and (inner := find(layer, name)) is not None:
            return inner
    return None


@pytest.fixture(
    scope="module",
    params=quick(MODELS, "nested", "channels_first"),
)
def saved(request, tmp_path_factory, tf_keras):
    """Return a model with integer weights and the folder that holds it in every format of Keras."""
    build, names = MODELS[request.param]
    model = build(tf_keras)
    integer_weights(model)
    folder = tmp_path_factory.mktemp(request.param)
    model.save(folder / "model.keras")
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(folder / "model.h5")
    model.save_weights(folder / "weights.h5")
    return model, names, folder


FORMATS = ("model.h5", "model.keras")


def spec_of(layer):
    """The specification of a live layer, from its own attributes."""
    first = layer.data_format == "channels_first"
    shape = layer.input_shape[1:]
    return lcl.Spec(
        input_size=shape[1:] if first else shape[:-1],
        in_channels=shape[0] if first else shape[-1],
        out_channels=layer.filters,
        kernel_size=layer.kernel_size,
        stride=layer.strides,
        padding="same_keras_local" if layer.padding == "same" else "valid",
        bias="position" if layer.use_bias else "none",
    )


@pytest.mark.parametrize("name", FORMATS)
def test_layers_are_found_by_the_stored_configuration(saved, name):
    model, names, folder = saved
    with open_weights(folder / name) as file:
        assert [layer.name for layer in file.layers] == list(names)
        for found in file.layers:
            live = find(model, names[found.name])
            assert found.spec == spec_of(live)
            assert found.layout == f"keras2/impl{live.implementation}/{live.data_format}"
            stored = [file.tensors[part].read() for part in (found.weight, found.bias) if part]
            for array, weight in zip(stored, live.get_weights(), strict=True):
                np.testing.assert_array_equal(array, weight)


def targets_for(specs):
    return [name for name, layout in LAYOUTS.items() if all(layout.refusal(spec) is None for spec in specs)]


def live_output(layer, x):
    first = layer.data_format == "channels_first"
    y = np.asarray(layer(np.moveaxis(x, -1, 1) if first else x))
    return np.moveaxis(y, 1, -1) if first else y


@pytest.mark.parametrize("name", [FORMATS[0], pytest.param(FORMATS[1], marks=pytest.mark.slow)])
def test_every_target_layout_computes_what_keras_computes(saved, name, tmp_path, request):
    model, names, folder = saved
    with open_weights(folder / name) as file:
        specs = [layer.spec for layer in file.layers]
    every = [target for target in targets_for(specs) if "position" in get(target).bias]
    assert len(every) >= 12
    # Each start of an HDF5 reader takes time: all layouts from one kind of file of each rank, some from the others.
    kind = request.node.callspec.params["saved"]
    targets = every if (name, kind) in (("model.h5", "functional"), ("model.keras", "nested")) else every[-3:]
    draw = np.random.default_rng(1)
    inputs = [draw.integers(-3, 4, spec.x_shape(2)).astype(np.float32) for spec in specs]
    expected = [live_output(find(model, live), x) for live, x in zip(names.values(), inputs, strict=True)]
    for target in targets:
        convert_file(folder / name, tmp_path / "out.safetensors", source="stored", target=target)
        with open_weights(tmp_path / "out.safetensors") as file:
            for layer, spec, x, y in zip(file.layers, specs, inputs, expected, strict=True):
                assert (layer.spec, layer.layout) == (spec, target)
                arrays = [file.tensors[part].read() if part else None for part in (layer.weight, layer.bias)]
                weight, bias = lcl.layouts.convert(spec, *arrays, source=target, target="canonical")
                np.testing.assert_array_equal(lcl.forward(spec, x, weight, bias), y)


@pytest.mark.parametrize("suffix", quick([".safetensors", ".npz", ".h5"], ".safetensors"))
@pytest.mark.parametrize("name", [*FORMATS, "weights.h5"])
def test_all_other_arrays_are_carried_along_bit_for_bit(saved, name, suffix, tmp_path):
    _, names, folder = saved
    spec = None
    if name == "weights.h5":  # it has no configuration: the whole model's converted file describes its layers
        convert_file(folder / "model.h5", tmp_path / "first.npz", source="stored", target="canonical")
        document = json.loads((tmp_path / "first.npz.spec.json").read_text())
        with open_weights(folder / "model.h5") as file:
            for values, layer in zip(document["layers"], file.layers, strict=True):
                values["layout"] = layer.layout
        spec = tmp_path / "spec.json"
        spec.write_text(json.dumps(document))
    elif suffix == ".h5":
        return  # a whole model is copied as a model: see below
    report = convert_file(folder / name, tmp_path / f"out{suffix}", source="stored", target="canonical", spec=spec)
    assert [layer.name for layer in report.layers] == list(names)
    with open_weights(folder / name, spec) as old, open_weights(tmp_path / f"out{suffix}") as new:
        own = {part for layer in old.layers for part in (layer.weight, layer.bias) if part}
        assert set(new.tensors) == set(old.tensors)
        assert set(report.carried) == set(old.tensors) - own
        assert any("dense" in part for part in report.carried)
        for part in report.carried:
            np.testing.assert_array_equal(new.tensors[part].read(), old.tensors[part].read())


def outputs(model, x):
    y = model(x)
    return [np.asarray(part) for part in (y if isinstance(y, list) else [y])]


def model_target(kind):
    """A layout of Keras that every layer of the model can have, unlike the one that some have."""
    return "keras2/impl3/channels_first" if kind == "channels_first" else "keras2/impl3/channels_last"


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_converted_to_another_implementation_predicts_the_same(saved, name, tmp_path, request, tf_keras):
    model, names, folder = saved
    target = model_target(request.node.callspec.params["saved"])
    report = convert_file(folder / name, tmp_path / name, source="stored", target=target)
    assert [layer.name for layer in report.layers] == list(names)
    again = tf_keras.models.load_model(tmp_path / name)
    assert {find(again, live).implementation for live in names.values()} == {3}
    x = np.random.default_rng(2).integers(-2, 3, (2, *model.input_shape[1:])).astype(np.float32)
    for old, new in zip(outputs(model, x), outputs(again, x), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_cannot_take_a_layout_that_it_could_not_load(saved, tmp_path):
    _, _, folder = saved
    for target in ("flax/conv_local", "keras2/impl3/channels_wrong"):
        with pytest.raises(lcl.LayoutError):
            convert_file(folder / "model.h5", tmp_path / "out.h5", source="stored", target=target)
    with pytest.raises(lcl.FileError, match="to copy the model around the layers from"):
        convert_file(folder / "model.h5", tmp_path / "o.keras", source="stored", target="keras2/impl3/channels_last")
    assert list(tmp_path.iterdir()) == []


def test_implementation_1_is_refused_for_padding_that_it_does_not_take(sequential):
    _, _, change = sequential
    with pytest.raises(lcl.LayoutError, match="implementation 1 takes padding valid only"):
        change("out.keras", target="keras2/impl1/channels_last")


def test_one_layer_of_several_is_converted_and_the_rest_described_as_it_is(sequential, tmp_path):
    model, _, change = sequential
    report = change("out.npz", source="keras2/impl1/channels_last", target="chainer", layer="first")
    assert [(layer.name, layer.layout) for layer in report.layers] == [("first", "chainer")]
    with open_weights(tmp_path / "out.npz") as file:
        layouts = {"first": "chainer", "second": "keras2/impl3/channels_last"}
        assert {layer.name: layer.layout for layer in file.layers} == layouts
        weight = file.tensors[file.layer("second").weight].read()
        np.testing.assert_array_equal(weight, model.get_layer("second").get_weights()[0])


def test_the_source_layout_must_be_the_one_that_the_file_states(sequential, tmp_path):
    _, path, change = sequential
    with pytest.raises(lcl.LayoutError, match="expected keras2/impl1/channels_last, as the file states"):
        change("o.npz", source="keras2/impl1/channels_first", target="canonical")
    with pytest.raises(lcl.FileError, match="no layer called 'third', expected one of first, second"):
        change("o.npz", target="canonical", layer="third")
    assert list(tmp_path.iterdir()) == [path]


def test_training_state_and_foreign_layers_are_named_not_loaded(tmp_path, tf_keras):
    layer = tf_keras.layers
    model = tf_keras.Sequential(
        [
            layer.Input((6, 2)),
            layer.Lambda(lambda x: x * 2, name="double"),
            layer.LocallyConnected1D(3, 2, name="local"),
            layer.TimeDistributed(layer.Dense(2), name="each"),
        ]
    )
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 6, 2)), np.zeros((2, 5, 2)), verbose=0)
    with pytest.warns(UserWarning, match="HDF5"):
        model.save(tmp_path / "model.h5")
    with open_weights(tmp_path / "model.h5") as file:
        assert file.left == ("optimizer_weights", "training_config")
        assert any(note.startswith("double: Lambda is not looked into") for note in file.notes)
        assert any(note.startswith("each: what TimeDistributed wraps") for note in file.notes)
        assert not [name for name in file.tensors if "Adam" in name]
        # Behind the Lambda the input size is unknown, but at stride 1 the shapes of the arrays tell it.
        assert file.layers[0].spec.input_size == (6,)


def test_an_input_size_that_the_file_does_not_tell_is_asked_for(tmp_path, tf_keras):
    local = tf_keras.layers.LocallyConnected1D(3, 2, strides=2, name="local")
    layers = [tf_keras.layers.Input((7, 2)), tf_keras.layers.Lambda(lambda x: x * 2), local]
    with pytest.warns(UserWarning, match="HDF5"):
        tf_keras.Sequential(layers).save(tmp_path / "model.h5")
    out = tmp_path / "out.npz"
    with pytest.raises(lcl.FileError, match="give its specification with --spec"):
        convert_file(tmp_path / "model.h5", out, source="stored", target="canonical")
    spec = tmp_path / "spec.json"
    spec.write_text(lcl.Spec(input_size=7, in_channels=2, out_channels=3, kernel_size=2, stride=2).to_json())
    convert_file(tmp_path / "model.h5", out, source="stored", target="canonical", spec=spec, layer="local")
    with open_weights(out) as file:
        assert file.layers[0].spec.input_size == (7,)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras 3 on TensorFlow under NumPy 2, while saving
def test_keras_3_files_are_read(tmp_path):
    """A layer of the old name in a model that Keras 3 saved: its configuration is written in another way."""
    import keras

    class LocallyConnected1D(keras.layers.Layer):
        """The settings and arrays of the old layer; what it computes is not asked here."""

        def __init__(self, filters, kernel_size, strides=1, **options):
            super().__init__(**options)
            self.filters, self.kernel_size, self.strides = filters, kernel_size, strides

        def build(self, shape):
            count = (shape[1] - self.kernel_size) // self.strides + 1
            self.kernel = self.add_weight(shape=(count, self.kernel_size * shape[2], self.filters), name="kernel")
            self.bias = self.add_weight(shape=(count, self.filters), name="bias")

        def call(self, x):
            return x[:, : self.bias.shape[0], :1] + self.bias

        def get_config(self):
            own = {"filters": self.filters, "kernel_size": [self.kernel_size], "strides": [self.strides]}
            return super().get_config() | own

    signal = keras.Input((9, 2))
    inner = keras.Sequential([keras.layers.Dense(3), LocallyConnected1D(4, 3, 2, name="inside")], name="inner")
    model = keras.Model(signal, LocallyConnected1D(2, 2, 2, name="outside")(inner(signal)))
    model.save(tmp_path / "model.keras")
    with open_weights(tmp_path / "model.keras") as file:
        assert [layer.name for layer in file.layers] == ["inner/inside", "outside"]
        assert file.layers[0].spec.x_shape(1) == (1, 9, 3)
        assert file.layers[1].spec.x_shape(1) == (1, 4, 4)
        kernel = file.tensors[file.layers[0].weight].read()
        np.testing.assert_array_equal(kernel, np.asarray(model.get_layer("inner").layers[1].kernel))


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("suffix", quick([".h5", ".keras"]))
def test_models_with_the_layers_of_this_project_convert_and_load_again(tmp_path, suffix):
    """Saved by Keras 3, rewritten in another layout, and loaded by Keras 3: the same model."""
    import keras

    from lcl_ref.layers import keras as layers

    signal = keras.Input((6, 5, 2))
    seen = layers.LocallyConnected2D(3, (3, 2), 2, padding="same_upper", bias_initializer="uniform", name="a")(signal)
    last = layers.LocallyConnected1D(4, 2, padding="same", implementation=2, bias_initializer="uniform", name="b")
    model = keras.Model(signal, last(keras.layers.Reshape((9, 3))(seen)))
    old, new = tmp_path / f"model{suffix}", tmp_path / f"new{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras about the older format
        model.save(old)
    convert_file(old, new, source="stored", target="keras2/impl3/channels_last", layer="b")
    with open_weights(new) as file:
        assert [layer.layout for layer in file.layers] == ["keras2/impl1/channels_last", "keras2/impl3/channels_last"]
        assert [layer.spec for layer in file.layers] == [model.get_layer(name).spec for name in "ab"]
    x = np.random.default_rng(0).integers(-2, 3, (2, 6, 5, 2)).astype(np.float32)
    again = layers.load_model(new)
    assert again.get_layer("b").implementation == 3
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(kind(x)) for kind in (again, model)))


COMMON_1 = {"border_mode": "valid", "dim_ordering": "th"}
CONV_1 = {"name": "conv", "batch_input_shape": [None, 3, 8, 7], "nb_filter": 2, "nb_row": 2, "nb_col": 3}
LOCAL_1 = {"name": "local", "nb_filter": 4, "nb_row": 3, "nb_col": 2, "bias": True}
KERAS_1 = {
    "class_name": "Sequential",
    "config": [
        {"class_name": "Convolution2D", "config": CONV_1 | COMMON_1 | {"subsample": [1, 1]}},
        {"class_name": "LocallyConnected2D", "config": LOCAL_1 | COMMON_1 | {"subsample": [2, 1]}},
    ],
}
"""A model as Keras 1 wrote it: a list of layers, nb_filter, dim_ordering."""


def test_keras_1_files_are_read(tmp_path):
    spec = lcl.Spec(input_size=(7, 5), in_channels=2, out_channels=4, kernel_size=(3, 2), stride=(2, 1))
    weight = np.arange(np.prod(spec.weight_shape), dtype=np.float32).reshape(spec.weight_shape)
    bias = np.arange(np.prod(spec.bias_shape), dtype=np.float32).reshape(spec.bias_shape)
    stored = lcl.layouts.convert(spec, weight, bias, source="canonical", target="keras1/channels_first")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(KERAS_1).encode()
        inside = file.create_group("model_weights")
        inside["conv/conv_W"] = np.zeros((2, 3, 2, 3), np.float32)
        inside["local/local_W"], inside["local/local_b"] = stored
    out = tmp_path / "new.npz"
    convert_file(tmp_path / "old.h5", out, source="keras1/channels_first", target="canonical")
    with open_weights(out) as new:
        assert new.layers[0].spec == spec
        np.testing.assert_array_equal(new.tensors["local/local_W"].read(), weight)
        np.testing.assert_array_equal(new.tensors["local/local_b"].read(), bias)


def layers_by_input_shape(layer):
    image = [
        layer.Conv2D(3, (3, 2), strides=2, padding="same"),
        layer.Conv2D(3, 3, dilation_rate=2),
        layer.DepthwiseConv2D(2, depth_multiplier=3),
        layer.SeparableConv2D(5, 3),
        layer.MaxPooling2D((3, 2)),
        layer.AveragePooling2D(3, 2, padding="same"),
        layer.GlobalMaxPooling2D(),
        layer.GlobalAveragePooling2D(keepdims=True),
        layer.ZeroPadding2D(((1, 0), (2, 3))),
        layer.Cropping2D((1, 2)),
        layer.UpSampling2D((2, 3)),
        layer.Permute((2, 3, 1)),
        layer.Flatten(),
        layer.Reshape((-1, 22)),
        layer.Dense(7),
        layer.BatchNormalization(),
        layer.Dropout(0.1),
        layer.LocallyConnected2D(2, 3, strides=(2, 3)),
        layer.LocallyConnected2D(2, 4, strides=3, padding="same", implementation=3),
    ]
    signal = [
        layer.Conv1D(4, 3, padding="causal", strides=2),
        layer.ZeroPadding1D((2, 1)),
        layer.Cropping1D(2),
        layer.MaxPooling1D(3),
        layer.UpSampling1D(3),
        layer.GlobalAveragePooling1D(),
        layer.LocallyConnected1D(2, 4),
    ]
    volume = [layer.Conv3D(3, 2, strides=2), layer.AveragePooling3D(2), layer.Cropping3D(((1, 0), (1, 1), (0, 2)))]
    vector = [layer.RepeatVector(4), layer.Embedding(10, 3)]
    return [((11, 9, 4), image), ((12, 3), signal), ((6, 5, 7, 2), volume), ((5,), vector)]


def test_output_shapes_are_those_of_keras(tf_keras):
    for shape, layers in layers_by_input_shape(tf_keras.layers):
        for built in layers:
            expected = tuple(built.compute_output_shape((None, *shape)))[1:]
            assert output_shape(type(built).__name__, built.get_config(), [shape]) == expected, built


def test_joined_shapes_are_those_of_keras(tf_keras):
    shapes = [(4, 3, 2), (4, 5, 2)]
    for axis in (2, -2):
        merged = tf_keras.layers.Concatenate(axis=axis)
        expected = merged.compute_output_shape([(None, *shape) for shape in shapes])[1:]
        assert output_shape("Concatenate", merged.get_config(), shapes) == expected
    assert output_shape("Add", {}, [(4, 3), (4, 3)]) == (4, 3)
    assert output_shape("SomethingElse", {}, [(4, 3)]) is None
    assert output_shape("Dense", {"units": 2}, [None]) is None


@pytest.mark.parametrize("name", ["LocallyConnected2D", "Conv2DTranspose", "InputLayer", "TFOpLambda", "ReLU", "PReLU"])
def test_names_of_stored_objects_are_those_of_keras(name):
    from tf_keras.src.utils.generic_utils import to_snake_case

    assert config.snake_case(name) == to_snake_case(name)


def test_reading_an_archive_unpacks_nothing_beside_it(sequential, tmp_path):
    _, path, _ = sequential
    with open_weights(path) as file:
        assert len(file.layers) == 2
    assert list(tmp_path.iterdir()) == [path]
    with zipfile.ZipFile(path) as archive:
        assert "model.weights.h5" in archive.namelist()
