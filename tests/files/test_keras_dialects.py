"""Configurations and arrays of earlier Keras in the words of the last Keras 2."""

import numpy as np
import pytest

from lcl_ref.files.keras import architecture, config, dialects
from lcl_ref.files.keras.old_arrays import modern_arrays


def entry(class_name, /, **settings):
    return {"class_name": class_name, "config": settings}


def test_words_of_keras_1():
    words = {"nb_filter": 4, "nb_row": 3, "nb_col": 2, "subsample": [2, 1], "border_mode": "valid", "bias": True}
    words |= {"dim_ordering": "th", "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}, "name": "local"}
    found = dialects.layer(entry("LocallyConnected2D", **words))["config"]
    assert found == {
        "filters": 4,
        "kernel_size": [3, 2],
        "strides": [2, 1],
        "padding": "valid",
        "use_bias": True,
        "data_format": "channels_first",
        "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},
        "name": "local",
    }
    assert dialects.layer(entry("Convolution1D", nb_filter=3))["class_name"] == "Conv1D"
    assert dialects.layer(entry("Merge", mode="concat", concat_axis=1, name="m")) == entry(
        "Concatenate", name="m", axis=1
    )
    own = entry("SomebodysLayer", p=1, bias=2, length=3)
    assert dialects.layer(own) == own


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("mixed_float16", "mixed_float16"),
        (entry("Policy", name="mixed_bfloat16"), "mixed_bfloat16"),
        (entry("PolicyV1", name="mixed_float16", loss_scale=entry("DynamicLossScale")), "mixed_float16"),
        (entry("Policy", name="float16_with_float32_vars"), "mixed_float16"),
        (entry("Policy", name="infer_with_float32_vars"), "float32"),
        (entry("Policy", name="infer"), "float32"),
        (None, None),
        (entry("DTypePolicy", name="float32"), entry("DTypePolicy", name="float32")),
    ],
)
def test_dtype_policies_in_every_spelling(spelled, meant):
    assert dialects.layer(entry("Dense", units=2, dtype=spelled))["config"]["dtype"] == meant


def test_layers_in_wrappers_see_one_step_of_their_input():
    inner = entry("LocallyConnected2D", name="inner", filters=4, kernel_size=[3, 2])
    twice = entry("TimeDistributed", name="outer", layer=entry("TimeDistributed", name="each", layer=inner))
    after = entry("LocallyConnected3D", name="after", filters=1, kernel_size=2)
    model = entry("Sequential", layers=[entry("InputLayer", batch_input_shape=[None, 7, 3, 6, 5, 2]), twice, after])
    first, last = config.read(model).entries
    assert (first.name, first.group, first.input_shape) == ("outer/each/inner", "outer", (6, 5, 2))
    assert first.place == "layers/time_distributed/layer/layer"
    assert first.alone
    assert last.input_shape == (7, 3, 4, 4, 4)


def test_one_named_output_tells_its_shape():
    inner = entry("Functional", name="inner", layers=[], output_layers={"score": ["local", 0, 0]})
    local = entry("LocallyConnected1D", name="local", filters=2, kernel_size=3)
    inner["config"]["layers"] = [entry("InputLayer", name="in", batch_input_shape=[None, 9, 2]), local]
    local["inbound_nodes"] = [[["in", 0, 0, {}]]]
    model = entry("Sequential", layers=[inner, entry("LocallyConnected1D", name="after", filters=1, kernel_size=2)])
    assert config.read(model).entries[1].input_shape == (7, 2)


def test_kernels_of_theano_are_reversed_and_those_of_locally_connected_layers_are_not():
    kernel = np.arange(24.0).reshape(3, 2, 2, 2)
    conv, local = entry("Conv2D", filters=2, kernel_size=[3, 2]), entry("LocallyConnected2D", filters=2)
    assert np.array_equal(modern_arrays(conv, [kernel], first=False, theano=True)[0], kernel[::-1, ::-1])
    assert np.array_equal(modern_arrays(local, [kernel], first=True, theano=True)[0], kernel)
    first = conv | {"config": conv["config"] | {"data_format": "channels_first"}}
    old = kernel.transpose(3, 2, 0, 1)
    assert np.array_equal(modern_arrays(first, [old], first=True, theano=False)[0], kernel)
    assert np.array_equal(modern_arrays(first, [kernel], first=True, theano=False)[0], kernel)


def test_an_architecture_is_read_as_json_and_as_yaml_without_running_anything(tmp_path):
    path = tmp_path / "model.yaml"
    text = "class_name: Sequential\nconfig:\n- class_name: Dense\n  config:\n    shape: !!python/tuple [1, 2]\n"
    path.write_text(text)
    assert architecture.read(path) == entry("Sequential") | {"config": [entry("Dense", shape=[1, 2])]}
    path.write_text("!!python/object/apply:os.system ['echo ran']\n")
    with pytest.raises(Exception, match="plain data"):
        architecture.read(path)
