"""Files of named arrays and darknet weights: formats, descriptions of layers, and what is refused."""

import json
import os
import stat
import struct
import zipfile
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref import cli
from lcl_ref.cli.convert import convert, inspect
from lcl_ref.files import convert_file, open_weights, specs

SPEC = lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=(3, 2), stride=(2, 1))
FLAX = "flax/conv_local"


def numbers(shape, dtype=np.float32):
    return np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)


def stored(layout=FLAX, dtype=np.float32, spec=SPEC):
    return lcl.layouts.convert(
        spec, numbers(spec.weight_shape, dtype), numbers(spec.bias_shape, dtype), source="canonical", target=layout
    )


def arrays(names=("local.weight", "local.bias"), dtype=np.float32):
    return dict(zip(names, stored(dtype=dtype), strict=True)) | {"head.weight": numbers((4, 2), dtype)}


def write(path, values):
    if path.suffix == ".npz":
        np.savez(path, **values)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, value in values.items():
                file[name] = value
    else:
        safetensors.numpy.save_file(values, path)
    return path


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(SPEC.to_json())
    return path


@pytest.fixture
def old(tmp_path):
    return write(tmp_path / "old.npz", arrays())


@pytest.fixture
def change(spec_file):
    """Give a function that converts the layer of a file, to `canonical` if nothing else is said."""
    options = {"source": FLAX, "target": "canonical", "spec": spec_file, "layer": "local"}
    return lambda old, new, **changes: convert_file(old, new, **options | changes)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("target_suffix", [".safetensors", ".npz", ".h5"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".h5"])
def test_every_format_into_every_format(tmp_path, suffix, target_suffix, change):
    old, new = write(tmp_path / f"old{suffix}", arrays()), tmp_path / f"new{target_suffix}"
    report = change(old, new, target="torch7/spatial_convolution_local")
    assert report.carried == ("head.weight",)
    weight, bias = stored("torch7/spatial_convolution_local")
    with open_weights(new) as file:
        assert file.layers[0].spec == SPEC
        assert (file.layers[0].name, file.layers[0].layout) == ("local", "torch7/spatial_convolution_local")
        np.testing.assert_array_equal(file.tensors["local.weight"].read(), weight)
        np.testing.assert_array_equal(file.tensors["local.bias"].read(), bias)
        np.testing.assert_array_equal(file.tensors["head.weight"].read(), numbers((4, 2)))


def test_safetensors_and_numpy_read_what_is_written(tmp_path, old, change):
    for name in ("new.safetensors", "new.npz"):
        change(old, tmp_path / name)
    plain = safetensors.numpy.load_file(tmp_path / "new.safetensors")
    with np.load(tmp_path / "new.npz", allow_pickle=False) as archive:
        assert set(archive.files) == set(plain) == set(arrays())
        for name, value in plain.items():
            np.testing.assert_array_equal(archive[name], value)
    np.testing.assert_array_equal(plain["local.weight"], numbers(SPEC.weight_shape))


def test_output_is_the_same_every_time_and_has_the_usual_permissions(tmp_path, change):
    old = write(tmp_path / "old.safetensors", arrays())
    umask = os.umask(0o022)
    try:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            for suffix in (".safetensors", ".npz"):
                new = tmp_path / folder / f"new{suffix}"
                change(old, new)
                assert stat.S_IMODE(new.stat().st_mode) == 0o644
    finally:
        os.umask(umask)
    for first in sorted((tmp_path / "a").iterdir()):
        assert first.read_bytes() == (tmp_path / "b" / first.name).read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32"])
def test_dtypes_survive(tmp_path, dtype, change):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    old = write(tmp_path / "old.safetensors", arrays(dtype=kind))
    change(old, tmp_path / "new.safetensors")
    with open_weights(tmp_path / "new.safetensors") as file:
        weight = file.tensors["local.weight"]
        assert weight.dtype == kind
        np.testing.assert_array_equal(weight.read(), numbers(SPEC.weight_shape, kind))


def test_bfloat16_does_not_fit_a_npz_file(tmp_path, change):
    old = write(tmp_path / "old.safetensors", arrays(dtype=ml_dtypes.bfloat16))
    with pytest.raises(lcl.FileError, match=r"write a \.safetensors file"):
        change(old, tmp_path / "new.npz")
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize(("weight", "bias"), [("kernel", "bias"), ("W", "b"), ("weights", "biases")])
def test_arrays_of_a_layer_are_found_by_their_names(tmp_path, weight, bias, change):
    old = write(tmp_path / "old.npz", arrays(names=(f"local.{weight}", f"local.{bias}")))
    report = change(old, tmp_path / "new.npz")
    assert (report.layers[0].weight, report.layers[0].bias) == (f"local.{weight}", f"local.{bias}")


def test_a_single_specification_needs_to_know_which_layer_and_which_layout(tmp_path, spec_file, old, change):
    with pytest.raises(lcl.FileError, match=r"2 layers with a weight, expected one \(there are: head, local\)"):
        convert_file(old, tmp_path / "new.npz", source=FLAX, target="canonical", spec=spec_file)
    with pytest.raises(
        lcl.FileError, match=r"name it with --from: local.weight has shape .*, that of .*flax/conv_local"
    ):
        change(old, tmp_path / "new.npz", source="stored")
    with pytest.raises(lcl.FileError, match="describe its layers with --spec"):
        convert_file(old, tmp_path / "new.npz", source=FLAX, target="canonical")


def test_a_wrong_layout_is_refused_with_file_layer_axis_and_arithmetic(tmp_path, old, change):
    with pytest.raises(lcl.LayoutError, match=r"old.npz, layer local: weight: got 4 axes .* flax/conv_local"):
        change(old, tmp_path / "n.npz", source="chainer")
    assert names(tmp_path) == ["old.npz", "spec.json"]


def test_a_chain_of_conversions_returns_every_bit(tmp_path, change):
    old = write(tmp_path / "old.safetensors", arrays())
    steps = [("a.npz", "chainer"), ("b.h5", "keras2/impl3/channels_first"), ("c.npz", "lasagne")]
    steps.append(("d.safetensors", FLAX))
    change(old, tmp_path / "start.npz")
    last = tmp_path / "start.npz"
    for name, target in steps:
        convert_file(last, tmp_path / name, source="stored", target=target)
        last = tmp_path / name
    with open_weights(last) as file:  # in between Keras's own names were given to the arrays, in the .h5
        names_now = (file.layers[0].weight, file.layers[0].bias, "head.weight")
        for name, value in zip(names_now, arrays().values(), strict=True):
            np.testing.assert_array_equal(file.tensors[name].read(), value)


def test_what_is_lost_is_counted(tmp_path):
    spec = lcl.Spec(input_size=(4, 3), in_channels=2, out_channels=2, kernel_size=3, padding="same_keras_local")
    (tmp_path / "spec.json").write_text(spec.to_json())
    old = write(tmp_path / "old.npz", {"weight": numbers(spec.weight_shape), "bias": numbers(spec.bias_shape)})
    options = {"spec": tmp_path / "spec.json", "source": "canonical"}
    report = convert_file(old, tmp_path / "new.npz", target="keras2/impl3/channels_last", **options)
    dead = numbers(spec.weight_shape).size - spec.connection_count
    assert report.loses == (f"layer: {dead} weights of taps that fall on padding, which no output depends on",)
    convert_file(old, tmp_path / "dense.npz", target="keras2/impl2/channels_last", **options)
    report = convert_file(tmp_path / "dense.npz", tmp_path / "back.npz", source="stored", target="canonical")
    entries = 4 * 3 * 2 * 4 * 3 * 2 - spec.connection_count
    assert report.loses == (f"layer: {entries} entries of the dense matrix that join no window",)


def test_a_bias_that_differs_per_position_does_not_fit_and_nothing_is_written(tmp_path, old, change):
    with pytest.raises(lcl.LayoutError, match=r"old.npz, layer local: bias: got a bias that differs between positions"):
        change(old, tmp_path / "new.npz", target="dl4j/nchw")
    assert names(tmp_path) == ["old.npz", "spec.json"]


def test_the_input_is_never_the_output_and_bad_targets_leave_nothing(tmp_path, old, change):
    before, new = old.read_bytes(), tmp_path / "new.npz"
    for source, target, message in (
        (old, old, "another file to write to"),
        (old, tmp_path / "no" / "such" / "folder.npz", r"make it with: mkdir -p .*/no/such$"),
        (old, tmp_path / "new.bin", r"suffix '.bin'"),
        (tmp_path / "missing.npz", old, "no such file"),
        (tmp_path, new, "a folder that is no SavedModel"),
    ):
        with pytest.raises(lcl.FileError, match=message):
            change(source, target)
    with pytest.raises(lcl.LayoutError, match="did you mean"):
        change(old, new, target="flax/convlocal")
    assert names(tmp_path) == ["old.npz", "spec.json"]
    assert old.read_bytes() == before


def test_names_that_cannot_stand_beside_each_other_in_hdf5_leave_nothing(tmp_path, change):
    old = write(tmp_path / "old.safetensors", arrays() | {"a": numbers((2,)), "a/b": numbers((2,))})
    with pytest.raises(lcl.FileError, match="format that can take the arrays"):
        change(old, tmp_path / "new.h5")
    assert names(tmp_path) == ["old.safetensors", "spec.json"]


CFG = Path(__file__).with_name("darknet.cfg").read_text()


def darknet_file(tmp_path):
    """Write a network as darknet's save functions do: biases first, and for [local] biases of (filter, y, x)."""
    cfg = tmp_path / "net.cfg"
    cfg.write_text(CFG)
    height, width = 5, 4  # after the pooling: (9 + 1 - 2) // 2 + 1, (8 + 1 - 2) // 2 + 1
    draw = np.random.default_rng(0)
    parts = {
        "convolutional_0/biases": 3,
        "convolutional_0/scales": 3,
        "convolutional_0/rolling_mean": 3,
        "convolutional_0/rolling_variance": 3,
        "convolutional_0/weights": 3 * 2 * 3 * 3,
        "local_2/biases": 4 * height * width,
        "local_2/weights": height * width * 4 * 3 * 3 * 3,
        "connected_4/biases": 5,
        "connected_4/weights": 5 * 4 * height * width,
    }
    values = {name: draw.integers(-5, 6, count).astype("<f4") for name, count in parts.items()}
    path = tmp_path / "net.weights"
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 0, 64000) + b"".join(value.tobytes() for value in values.values()))
    return path, cfg, values


def test_darknet_local_is_found_by_the_cfg_and_computes_what_its_loops_do(tmp_path):
    path, cfg, values = darknet_file(tmp_path)
    out = tmp_path / "new.safetensors"
    report = convert_file(path, out, source="darknet", target="canonical", spec=cfg)
    assert [layer.name for layer in report.layers] == ["local_2"]
    new = safetensors.numpy.load_file(out)
    assert set(new) == set(values)
    for name in set(values) - {"local_2/biases", "local_2/weights"}:
        np.testing.assert_array_equal(new[name].ravel(), values[name])
    (layer,) = specs.read(specs.beside(out)).layers
    spec, settings = layer.spec, layer.settings
    assert (spec.input_size, spec.in_channels, spec.padding) == ((5, 4), 3, ((1, 1), (1, 1)))
    assert settings == {"activation": "leaky"}
    x = np.random.default_rng(1).integers(-3, 4, (1, 5, 4, 3)).astype(np.float32)
    y = np.zeros((1, 5, 4, 4), np.float32)
    for oy, ox, f in np.ndindex(5, 4, 4):
        total = values["local_2/biases"][(f * 5 + oy) * 4 + ox]
        for c, ky, kx in np.ndindex(3, 3, 3):
            iy, ix = oy + ky - 1, ox + kx - 1
            if 0 <= iy < 5 and 0 <= ix < 4:
                place = ((((oy * 4 + ox) * 4 + f) * 3 + c) * 3 + ky) * 3 + kx
                total += x[0, iy, ix, c] * values["local_2/weights"][place]
        y[0, oy, ox, f] = total
    got = lcl.forward(spec, x, new["local_2/weights"], new["local_2/biases"])
    np.testing.assert_array_equal(got, y)


def test_darknet_to_darknet_keeps_every_byte(tmp_path):
    path, cfg, _ = darknet_file(tmp_path)
    convert_file(path, tmp_path / "again.weights", source="stored", target="darknet", spec=cfg)
    assert (tmp_path / "again.weights").read_bytes() == path.read_bytes()


def test_layers_become_a_darknet_file_that_is_read_by_its_document(tmp_path, old, change):
    report = change(old, tmp_path / "new.weights", target="darknet")
    assert report.left == ("head.weight",)
    data = np.frombuffer((tmp_path / "new.weights").read_bytes()[20:], "<f4")
    bias, weight = np.split(data, [np.prod(SPEC.bias_shape)])
    np.testing.assert_array_equal(weight, stored("darknet")[0])
    np.testing.assert_array_equal(bias, stored("darknet")[1])
    convert_file(tmp_path / "new.weights", tmp_path / "back.npz", source="stored", target=FLAX)
    with np.load(tmp_path / "back.npz") as archive:
        np.testing.assert_array_equal(archive["local/weights"], stored()[0])


def test_darknet_needs_a_description_float32_and_a_sound_pad(tmp_path, change):
    path, cfg, _ = darknet_file(tmp_path)
    with pytest.raises(lcl.FileError, match=r"give the network's \.cfg file"):
        convert_file(path, tmp_path / "o.npz", source="darknet", target="canonical")
    local = "stride=1\npad=1\nfilters=4"
    for text, message in (
        (CFG.replace(f"size=3\n{local}", f"size=5\n{local}"), "size=5, pad=1, expected pad=0 or pad=2"),
        (CFG.replace("filters=4", "filters=6"), r"expected \d+ = 20 \+ 4\*\d+ numbers of 5 layers"),
        (CFG + "[lstm]\noutput=3\n", r"section \[lstm\]"),
    ):
        cfg.write_text(text)
        with pytest.raises(lcl.FileError, match=message):
            convert_file(path, tmp_path / "o.npz", source="darknet", target="canonical", spec=cfg)
    old = write(tmp_path / "old.npz", arrays(dtype=np.float64))
    with pytest.raises(lcl.FileError, match=r"float32 and biases in a \.weights file"):
        change(old, tmp_path / "o.weights", target="darknet")


def test_a_document_lists_arrays_that_must_be_there(tmp_path, old, change):
    change(old, tmp_path / "new.npz")
    document = json.loads((tmp_path / "new.npz.spec.json").read_text())
    assert document["format"] == "lcl-weights/1"
    assert document["file"] == "new.npz"
    document["layers"][0]["weight"] = "elsewhere"
    (tmp_path / "new.npz.spec.json").write_text(json.dumps(document))
    with pytest.raises(lcl.FileError, match="no array 'elsewhere' of layer local"):
        convert_file(tmp_path / "new.npz", tmp_path / "o.npz", source="stored", target="canonical")


def run(*words):
    """Run a command and return its output; errors of the package come through."""
    result = CliRunner().invoke(words[0], [str(word) for word in words[1:]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_commands_convert_and_inspect(tmp_path, spec_file, old):
    new = tmp_path / "new.safetensors"
    told = run(convert, old, new, "--from", FLAX, "--to", "chainer", "--spec", spec_file, "--layer", "local")
    assert "converted  local (local.weight) to chainer" in told
    assert "carried    1 other array\n" in told
    facts = json.loads(run(inspect, new, "--json"))
    assert facts["layers"][0]["layout"] == "chainer"
    assert facts["layers"][0]["input"] == [6, 5, 2]
    assert facts["other"] == ["head.weight"]
    table = run(inspect, new)
    assert "chainer" in table
    assert "1 other array," in table


def test_a_layout_is_never_guessed_and_the_error_lists_what_fits(tmp_path, spec_file, old):
    fits = r"that of flax/conv_local, .*and the array cannot tell"
    described = ["--spec", spec_file, "--layer", "local"]
    for words in ([convert, old, tmp_path / "new.npz", "--to", "chainer"], [inspect, old]):
        with pytest.raises(lcl.FileError, match=fits):
            run(*words, *described)
    assert FLAX in run(inspect, old, "--from", FLAX, *described)
    run(convert, old, tmp_path / "new.npz", "--from", FLAX, "--to", "chainer", *described)
    with pytest.raises(lcl.LayoutError, match="nothing for layer local, expected chainer, as the file states"):
        run(convert, tmp_path / "new.npz", tmp_path / "more.npz", "--to", "canonical")
    with pytest.raises(lcl.FileError, match=r"expected the layout of the layers in .*describe the layers with --spec"):
        run(convert, old, tmp_path / "more.npz", "--to", "canonical")
    with pytest.raises(lcl.LayoutError, match="darknet for layer local, expected chainer"):
        run(inspect, tmp_path / "new.npz", "--from", "darknet")
    assert not (tmp_path / "more.npz").exists()


def test_arrays_beside_the_layers_are_listed(tmp_path):
    np.savez(tmp_path / "many.npz", **{f"a{number:02}": np.zeros((number, 2), np.float32) for number in range(14)})
    table = run(inspect, tmp_path / "many.npz")
    assert "14 other arrays" in table
    assert "  a11 float32 (11, 2)\n  ... 2 more (--json lists all)" in table


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_a_broken_file_ends_the_program_with_status_2(tmp_path, command, monkeypatch, capsys):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    words = [command, str(tmp_path / "broken.npz")]
    if command == "convert":
        words += [str(tmp_path / "out.npz"), "--from", "stored", "--to", "canonical"]
    monkeypatch.setitem(cli.COMMANDS, command, "lcl_ref.cli.convert")
    monkeypatch.setattr("sys.argv", ["lcl", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "lcl: broken.npz: got BadZipFile File is not a zip file, expected a .npz archive, whole and undamaged"
    ]
    assert names(tmp_path) == ["broken.npz"]


def test_arrays_that_need_pickle_are_refused(tmp_path):
    np.savez(tmp_path / "old.npz", weight=np.array([{"a": 1}], dtype=object))
    with pytest.raises(lcl.FileError, match="objects are never loaded"), open_weights(tmp_path / "old.npz"):
        pass
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        archive.writestr("data.pkl", b"x")
    with pytest.raises(lcl.FileError, match=r"one \.npy member per array"), open_weights(tmp_path / "odd.npz"):
        pass
