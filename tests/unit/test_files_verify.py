"""`verify_port` on files written by tf_keras: right ports hold, wrong ones are found and named."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.convert import verify_port as command
from lcl_ref.files import convert_file, specs
from lcl_ref.files.verifying import verify_port


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Write a model with one layer of each implementation, in one file per data format."""
    import tf_keras

    layer = tf_keras.layers
    folder = tmp_path_factory.mktemp("old")
    for data_format, shape in (("channels_last", (9, 7, 3)), ("channels_first", (3, 9, 7))):
        options = {"data_format": data_format, "bias_initializer": "random_normal"}
        model = tf_keras.Sequential(
            [
                layer.Input(shape),
                layer.LocallyConnected2D(4, (3, 2), strides=(2, 1), name="one", **options),
                layer.LocallyConnected2D(3, 2, padding="same", implementation=2, name="two", **options),
                layer.LocallyConnected2D(2, 3, padding="same", strides=2, implementation=3, name="three", **options),
                layer.Flatten(),
                layer.Dense(2),
            ]
        )
        model.save(folder / f"{data_format}.keras")
    return folder


def states(findings):
    return {(finding.layer, finding.side.split(":")[0], finding.op): finding.state for finding in findings}


@pytest.mark.parametrize("target", ["canonical", "flax/conv_local", "torch/unfold", "keras2/impl3/channels_last"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_right_port_holds_forward_and_gradient(old, data_format, target, tmp_path):
    path = old / f"{data_format}.keras"
    convert_file(path, tmp_path / "new.safetensors", source="stored", target=target)
    findings = verify_port(path, tmp_path / "new.safetensors")
    assert set(states(findings).values()) == {"pass"}
    expected = {(layer, "weights", "") for layer in ("one", "two", "three")} | {
        (layer, side, op) for layer in ("one", "two", "three") for side in ("old", "new") for op in ("forward", "vjp")
    }
    assert set(states(findings)) == expected
    assert all(finding.error_ratio < 1 for finding in findings if finding.op)
    assert any(finding.error_ratio > 0 for finding in findings if finding.op)


def test_a_framework_of_today_can_be_the_new_side(old, tmp_path):
    convert_file(old / "channels_last.keras", tmp_path / "new.npz", source="stored", target="canonical")
    findings = verify_port(old / "channels_last.keras", tmp_path / "new.npz", backend="torch.unfold")
    assert {finding.side for finding in findings if finding.side.startswith("new")} == {"new: torch.unfold"}
    assert set(states(findings).values()) == {"pass"}


def ported(old, tmp_path, data_format="channels_last"):
    path = tmp_path / "new.safetensors"
    convert_file(old / f"{data_format}.keras", path, source="stored", target="canonical")
    return path, safetensors.numpy.load_file(path), specs.read(specs.beside(path)).layers


def test_one_wrong_weight_is_found(old, tmp_path):
    path, arrays, layers = ported(old, tmp_path)
    spoiled = arrays[layers[0].weight].copy()
    spoiled[1, 2, 0, 1, 2, 3] += 0.5
    safetensors.numpy.save_file(arrays | {layers[0].weight: spoiled}, path)
    found = states(verify_port(old / "channels_last.keras", path))
    assert found["one", "weights", ""] == "fail"
    assert found["one", "old", "forward"] == "fail"
    assert found["one", "new", "forward"] == "pass"  # it computes what its own weights say
    assert {state for key, state in found.items() if key[0] != "one"} == {"pass"}


def test_a_patch_read_in_another_order_is_found(old, tmp_path):
    """The trap of every hand-written port: right shape, wrong numbers."""
    path, arrays, layers = ported(old, tmp_path, "channels_first")
    spec, weight = layers[0].spec, arrays[layers[0].weight]
    flat = weight.reshape(*spec.output_size, -1, spec.out_channels)
    wrong = flat.reshape(*spec.output_size, spec.in_channels, *spec.kernel_size, spec.out_channels).transpose(
        0, 1, 3, 4, 2, 5
    )
    safetensors.numpy.save_file(arrays | {layers[0].weight: np.ascontiguousarray(wrong)}, path)
    findings = verify_port(old / "channels_first.keras", path)
    found = states(findings)
    assert found["one", "weights", ""] == found["one", "old", "forward"] == found["one", "old", "vjp"] == "fail"
    assert next(f for f in findings if f.side.startswith("old") and f.state == "fail").error_ratio > 1000


def test_a_bias_that_was_transposed_is_found(old, tmp_path):
    """tf_keras reshapes the bias of channels_first: who takes its shape at its word gets it wrong."""
    path, arrays, layers = ported(old, tmp_path, "channels_first")
    spec, bias = layers[0].spec, arrays[layers[0].bias]
    wrong = np.ascontiguousarray(np.moveaxis(bias, -1, 0)).reshape(spec.bias_shape)
    safetensors.numpy.save_file(arrays | {layers[0].bias: wrong}, path)
    found = states(verify_port(old / "channels_first.keras", path))
    assert found["one", "weights", ""] == found["one", "old", "forward"] == "fail"


def test_another_specification_is_found(old, tmp_path):
    path, _, _ = ported(old, tmp_path)
    document = json.loads(specs.beside(path).read_text())
    document["layers"][1]["spec"]["padding"] = [[0, 1], [0, 1]]  # what TensorFlow calls same
    specs.beside(path).write_text(json.dumps(document))
    found = states(verify_port(old / "channels_last.keras", path))
    assert found["two", "spec", ""] == "fail"
    assert ("two", "new", "forward") not in found


def test_what_has_no_live_layer_says_so(tmp_path):
    spec = lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=3)
    draw = np.random.default_rng(0)
    weight, bias = (draw.standard_normal(shape).astype(np.float32) for shape in (spec.weight_shape, spec.bias_shape))
    np.savez(tmp_path / "old.npz", weight=weight, bias=bias)
    (tmp_path / "spec.json").write_text(spec.to_json())
    convert_file(
        tmp_path / "old.npz", tmp_path / "mid.npz", source="canonical", target="chainer", spec=tmp_path / "spec.json"
    )
    convert_file(tmp_path / "mid.npz", tmp_path / "new.npz", source="stored", target="flax/conv_local")
    findings = verify_port(tmp_path / "mid.npz", tmp_path / "new.npz")
    assert states(findings)["layer", "old", ""] == "not_run"
    assert states(findings)["layer", "weights", ""] == states(findings)["layer", "new", "vjp"] == "pass"


def test_a_layer_that_is_missing_is_an_error(old, tmp_path):
    path, _, _ = ported(old, tmp_path)
    document = json.loads(specs.beside(path).read_text())
    document["layers"] = document["layers"][:2]
    specs.beside(path).write_text(json.dumps(document))
    with pytest.raises(lcl.FileError, match="no layer three, expected it, beside one, two"):
        verify_port(old / "channels_last.keras", path)


def test_command_prints_error_and_limit_and_its_status_tells(old, tmp_path):
    path, arrays, layers = ported(old, tmp_path)
    words = [str(old / "channels_last.keras"), str(path)]
    good = CliRunner().invoke(command, words, standalone_mode=False)
    assert good.return_value == 0
    assert "error / limit" in good.output
    shutil.copy(path, tmp_path / "kept")
    safetensors.numpy.save_file(arrays | {layers[2].bias: arrays[layers[2].bias] + 1}, path)
    bad = CliRunner().invoke(command, [*words, "--json"], standalone_mode=False)
    assert bad.return_value == 1
    rows = json.loads(bad.output)
    assert {row["layer"] for row in rows if row["state"] == "fail"} == {"three"}
