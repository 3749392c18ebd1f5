"""Arrays without a description: the layouts they fit, and a description that works once it is completed."""

import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.convert import inspect
from lcl_ref.files import convert_file, open_weights
from lcl_ref.files.describing.candidates import candidates

SPECS = [
    lcl.Spec(input_size=9, in_channels=2, out_channels=5, kernel_size=3),
    lcl.Spec(input_size=(6, 5), in_channels=2, out_channels=3, kernel_size=(3, 2)),
    lcl.Spec(input_size=(4, 5, 6), in_channels=2, out_channels=3, kernel_size=(2, 3, 2)),
]


def arrays(spec, layout, weight="local.weight", bias="local.bias"):
    drawn = [np.random.default_rng(0).random(shape) for shape in (spec.weight_shape, spec.bias_shape)]
    held = lcl.layouts.convert(spec, *drawn, source="canonical", target=layout)
    return dict(zip((weight, bias), held, strict=True)), drawn


NO_RANK = ("bigdl/nhwc", "torch/bmm", "torch/linear_list")
"""Layouts that join all positions to one axis, in the bias too."""


def regular():
    """Return every layout that holds a bias per position in more than one axis, with a layer."""
    return [
        (name, spec)
        for name, layout in lcl.layouts.LAYOUTS.items()
        for spec in SPECS
        if layout.refusal(spec) is None and layout.form != "live" and len(lcl.layouts.weight_shape(name, spec)) > 2
        if "position" in layout.bias and len(lcl.layouts.bias_shape(name, spec)) > 1
    ]


@pytest.mark.parametrize(("layout", "spec"), regular())
def test_the_layout_of_arrays_is_among_those_they_fit_with_its_lengths(tmp_path, layout, spec):
    np.savez(tmp_path / "a.npz", **arrays(spec, layout)[0])
    with open_weights(tmp_path / "a.npz") as file:
        (found,) = candidates(file)
    rank, lengths = found.readings[layout]
    if layout in NO_RANK:
        return
    assert rank == spec.rank
    assert lengths["co"] == spec.out_channels
    true = {"cg": spec.in_channels} | {
        kind + axis: size
        for kind, sizes in (("o", spec.output_size), ("k", spec.kernel_size), ("i", spec.input_size))
        for axis, size in zip("zyx"[3 - spec.rank :], sizes, strict=True)
    }
    assert {name: size for name, size in lengths.items() if name != "co"}.items() <= true.items()


def weights_only(path):
    """Write what `save_weights` of Keras writes, beside a convolution and a dense layer."""
    held, drawn = arrays(SPECS[1], "keras2/impl1/channels_last", "L4/L4/kernel:0", "L4/L4/bias:0")
    others = {"conv/conv/kernel:0": np.ones((3, 3, 2, 4)), "conv/conv/bias:0": np.ones(4)}
    others |= {"head/head/kernel:0": np.ones((6, 2)), "head/head/bias:0": np.ones(2)}
    with h5py.File(path, "w") as file:
        for name, array in (held | others).items():
            file[name] = array
    return drawn


def test_a_completed_description_converts_the_file(tmp_path):
    weight, bias = weights_only(tmp_path / "w.h5")
    done = CliRunner().invoke(inspect, [str(tmp_path / "w.h5"), "--skeleton"], catch_exceptions=False)
    document = json.loads(done.output)
    (layer,) = document["layers"]
    assert (layer["name"], layer["layout"], layer["output_size"]) == ("L4", "keras2/impl1/channels_last", [4, 4])
    assert layer["spec"]["out_channels"] == 3
    given, new = tmp_path / "spec.json", tmp_path / "new.npz"
    given.write_text(done.output)
    with pytest.raises(lcl.FileError, match=r"null in input_size, in_channels, kernel_size of layer L4.*write the"):
        convert_file(tmp_path / "w.h5", new, source="stored", target="canonical", spec=given)
    layer["spec"] |= {"input_size": [6, 5], "in_channels": 2, "kernel_size": [3, 2]}
    given.write_text(json.dumps(document))
    convert_file(tmp_path / "w.h5", new, source="stored", target="canonical", spec=given)
    with open_weights(new) as file:
        assert np.array_equal(file.tensors["L4/L4/kernel:0"].read(), weight)
        assert np.array_equal(file.tensors["L4/L4/bias:0"].read(), bias)


def test_inspect_says_what_arrays_could_be(tmp_path):
    weights_only(tmp_path / "w.h5")
    done = CliRunner().invoke(inspect, [str(tmp_path / "w.h5")], catch_exceptions=False)
    assert "perhaps    L4 (L4/L4/kernel:0), if stored as keras2/impl1/channels_last, keras2/impl1/ch" in done.output
    assert "complete this description in w.h5.spec.json" in done.output
    told = CliRunner().invoke(inspect, [str(tmp_path / "w.h5"), "--json"], catch_exceptions=False)
    assert list(json.loads(told.output)["candidates"]) == ["L4"]


def test_dense_layers_and_convolutions_are_no_candidates(tmp_path):
    held = {"a.weight": np.ones((4, 3)), "a.bias": np.ones(4), "b.weight": np.ones((4, 3, 2, 2)), "b.bias": np.ones(4)}
    np.savez(tmp_path / "a.npz", **held, c=np.ones((2, 3, 4)))
    done = CliRunner().invoke(inspect, [str(tmp_path / "a.npz")], catch_exceptions=False)
    assert "perhaps" not in done.output
