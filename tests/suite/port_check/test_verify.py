"""`verify_port` on files written by tf_keras: right ports hold, wrong ones are found and named."""

import json
import shutil
import warnings

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli import main
from lcl_ref.cli.convert import verify_port as command
from lcl_ref.files import convert_file, specs
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.port_check import chunked
from lcl_ref.suite.port_check.verify import verify_port
from tests.support.layer_answers import golden, integers, random_spec
from tests.support.marks import quick
from tests.support.programs import lcl as program


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


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Write a functional model with another one inside, with a convolution and BatchNormalization around."""
    import tf_keras

    layer, folder = tf_keras.layers, tmp_path_factory.mktemp("network")
    start = layer.Input((7, 6, 4))
    local = layer.LocallyConnected2D(
        3, 2, padding="same", implementation=3, bias_initializer="random_normal", name="in"
    )
    inner = tf_keras.Model(start, local(layer.BatchNormalization()(start)), name="inner")
    image = layer.Input((9, 8, 3))
    seen = inner(layer.BatchNormalization()(layer.Conv2D(4, 3, activation="relu")(image)))
    last = layer.LocallyConnected2D(5, (3, 2), strides=(2, 1), bias_initializer="random_normal", name="out")
    model = tf_keras.Model(image, layer.Dense(2)(layer.Flatten()(last(seen))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf_keras recommends its newer format
        model.save(folder / "model.h5")
    model.save(folder / "model.keras")
    return folder


def states(findings):
    return {(finding.layer, finding.side.split(":")[0], finding.op): finding.state for finding in findings}


@pytest.mark.parametrize("target", ["canonical", "flax/conv_local", "torch/unfold", "keras2/impl3/channels_last"])
@pytest.mark.parametrize("data_format", quick(["channels_last", "channels_first"], "channels_last"))
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


LAYERS = ("torch.layer", "mlx.layer", "flax.linen_layer", "flax.nnx_layer")


@pytest.mark.parametrize("suffix", quick([".h5", ".keras"], ".keras"))
@pytest.mark.parametrize("backend", quick(LAYERS, "torch.layer", "flax.linen_layer"))
def test_a_network_verifies_for_every_layer_to_drop_in(network, tmp_path, backend, suffix):
    path, new = network / f"model{suffix}", tmp_path / "new.safetensors"
    convert_file(path, new, source="stored", target="canonical")
    findings = verify_port(path, new, backend)
    assert {(finding.side, finding.state) for finding in findings if finding.side.startswith("new")} == {
        (f"new: {backend}", "pass")
    }
    assert {finding.layer for finding in findings} == {"inner/in", "out"}
    assert {finding.state for finding in findings} == {"pass"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("backend", ["keras3.layer", "keras3.layer.tensorflow", "keras3.layer.torch"])
def test_a_network_verifies_for_the_layer_of_keras_3_on_every_backend(network, tmp_path, backend, suffix):
    path, new = network / f"model{suffix}", tmp_path / "new.npz"
    convert_file(path, new, source="stored", target="canonical")
    done = program("verify-port", path, new, "-b", backend, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    assert {row["state"] for row in rows} == {"pass"}
    assert sum(row["side"] == f"new: {backend}" for row in rows) == 4


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
    (tmp_path / "mid.npz.spec.json").unlink()
    findings = verify_port(tmp_path / "mid.npz", tmp_path / "new.npz", spec=tmp_path / "spec.json", source="chainer")
    assert states(findings)["layer", "old", ""] == "not_run"
    assert states(findings)["layer", "weights", ""] == states(findings)["layer", "new", "vjp"] == "pass"


def test_a_port_that_nobody_computed_with_does_not_end_as_one_that_holds(tmp_path):
    spec = lcl.Spec(input_size=6, in_channels=4, out_channels=2, kernel_size=3, groups=2)  # groups: not in flax
    np.savez(tmp_path / "old.npz", weight=np.ones(spec.weight_shape, "f"), bias=np.ones(spec.bias_shape, "f"))
    (tmp_path / "spec.json").write_text(spec.to_json())
    given = {"source": "canonical", "spec": tmp_path / "spec.json"}
    convert_file(tmp_path / "old.npz", tmp_path / "new.npz", target="canonical", **given)
    words = [str(tmp_path / "old.npz"), str(tmp_path / "new.npz"), "--spec", str(tmp_path / "spec.json")]
    words += ["--from", "canonical", "-b"]
    alone = CliRunner().invoke(command, [*words, "flax.conv_local"], standalone_mode=False)
    assert alone.return_value == 3, alone.output
    assert "nobody computed with layer" in alone.output
    assert CliRunner().invoke(command, [*words, "numpy.matmul"], standalone_mode=False).return_value == 0


@pytest.mark.parametrize("wrong", [False, True])
def test_params_of_flax_are_computed_with_by_flax_as_they_are(tmp_path, wrong):
    spec = lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=(3, 2))
    draw, path = np.random.default_rng(0), tmp_path / "spec.json"
    weight, bias = (draw.standard_normal(shape).astype(np.float32) for shape in (spec.weight_shape, spec.bias_shape))
    kernel, _ = lcl.layouts.convert(spec, weight, bias, source="canonical", target="flax/conv_local")
    np.savez(tmp_path / "old.npz", weight=kernel, bias=bias)
    path.write_text(spec.to_json())
    source = "keras2/impl1/channels_last" if wrong else "flax/conv_local"  # taps first, or channels first
    if wrong:
        kernel = kernel.reshape(-1, *kernel.shape[2:])
        np.savez(tmp_path / "misread.npz", weight=kernel, bias=bias)
    convert_file(
        tmp_path / ("misread.npz" if wrong else "old.npz"),
        tmp_path / "new.npz",
        source=source,
        target="canonical",
        spec=path,
    )
    findings = verify_port(tmp_path / "old.npz", tmp_path / "new.npz", spec=path, source="flax/conv_local")
    found = states(findings)
    assert {finding.side for finding in findings} == {"weights", "old: flax.conv_local", "new: numpy.matmul"}
    assert found["layer", "old", "forward"] == found["layer", "old", "vjp"] == ("fail" if wrong else "pass")


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
    rows = json.loads(bad.stdout)
    assert {row["layer"] for row in rows if row["state"] == "fail"} == {"three"}


def test_layers_can_be_chosen_and_nothing_is_told_of_progress_in_a_pipe(old, tmp_path):
    path, _, _ = ported(old, tmp_path)
    words = [str(old / "channels_last.keras"), str(path), "--layer", "three", "--layer", "one"]
    done = CliRunner().invoke(command, [*words, "--json"], standalone_mode=False)
    assert done.return_value == 0
    assert list(dict.fromkeys(row["layer"] for row in json.loads(done.stdout))) == ["one", "three"]
    assert done.stderr == ""


def test_progress_is_told_step_by_step(old, tmp_path):
    path, _, _ = ported(old, tmp_path)
    steps = []
    verify_port(old / "channels_last.keras", path, layers=("three", "one"), progress=steps.append)
    assert steps[0] == "one, layer 1 of 2: weights"
    assert steps[-1] == "three, layer 2 of 2: limits"
    assert "three, layer 2 of 2: old: keras.local3, vjp" in steps


def test_a_layer_that_is_not_there_is_told_with_the_nearest_name(old, tmp_path, monkeypatch, capsys):
    path, _, _ = ported(old, tmp_path)
    words = ["lcl", "verify-port", str(old / "channels_last.keras"), str(path), "--layer", "tree"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "no layer called 'tree', expected one of one, two, three; did you mean three?" in message


RESULTS = {"forward": ("y",), "vjp": ("dx", "dw", "db")}


def asked(spec, batch, seed):
    """Integer operands, and questions with the reference's answers."""
    operands = {name: array for name, array in integers(spec, batch, seed, "float32").items() if array is not None}
    right = golden(spec, integers(spec, batch, seed, "float32"))
    answers = {name: None if array is None else array.astype(np.float32) for name, array in right.items()}
    return operands, [
        chunked.Question(op, {name: answers[name] for name in names}, FORMATS["float32"])
        for op, names in RESULTS.items()
    ]


def cut_small(monkeypatch, spec):
    """Cut the layer into chunks of one row or two."""
    row = 8 * int(np.prod(spec.weight_shape[1:]))
    monkeypatch.setattr(chunked, "CHUNK_BYTES", row * (1 + spec.output_size[0] % 2) if spec.rank else row)


def test_slabs_compute_what_the_whole_layer_does(monkeypatch):
    draw, cut = np.random.default_rng(5), 0
    for number in range(150):
        spec = random_spec(draw)
        cut_small(monkeypatch, spec)
        cut += len(chunked.chunks(spec)) > 1
        operands, questions = asked(spec, 2, number)
        chunked.hold(spec, "float32", operands, questions)
        for question in questions:
            assert (question.worst, question.error_ratio, question.warnings) == (None, 0.0, {}), spec.to_json()
    assert cut > 15


@pytest.mark.parametrize("bias", ["position", "channel"])
@pytest.mark.parametrize("result", ["y", "dx", "dw", "db"])
def test_one_wrong_number_is_found_in_any_slab_and_its_place_is_told(monkeypatch, result, bias):
    spec = lcl.Spec(input_size=(9, 4), in_channels=2, out_channels=3, kernel_size=3, padding=1, bias=bias)
    cut_small(monkeypatch, spec)
    assert len(chunked.chunks(spec)) == 5
    operands, questions = asked(spec, 2, 0)
    question = next(question for question in questions if result in question.answers)
    place = tuple(length - 1 for length in question.answers[result].shape)
    question.answers[result][place] += 1
    chunked.hold(spec, "float32", operands, questions)
    ratio, message = question.worst
    assert ratio > 1000
    axis = {"y": "oy=8", "dx": "iy=8", "dw": "oy=8", "db": "oy=8" if bias == "position" else "co=2"}[result]
    assert message.startswith(f"{result}: [")
    assert axis in message.split("]")[0]
    assert [other.worst for other in questions if other is not question] == [None]


def test_an_answer_of_another_shape_is_refused_whole():
    spec = lcl.Spec(input_size=(9, 4), in_channels=2, out_channels=3, kernel_size=3)
    operands, questions = asked(spec, 2, 0)
    questions[0].answers["y"] = questions[0].answers["y"][:, :-1]
    chunked.hold(spec, "float32", operands, questions)
    assert "got shape (2, 6, 2, 3), expected (2, 7, 2, 3)" in questions[0].worst[1]
    assert questions[1].worst is None
