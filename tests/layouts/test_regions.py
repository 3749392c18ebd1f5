"""Layouts of weights that are stored once per region: expanded, collapsed, and refused where that loses something."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.convert import convert as command
from lcl_ref.extensions import regions

SPEC = lcl.Spec(input_size=(5, 6), in_channels=4, out_channels=6, kernel_size=2, groups=2)  # 4 x 5 positions
FREE = np.arange(20).reshape(4, 5) * 7 % 4  # four regions all over the place
ORDERS = {
    "": (lambda w: w, lambda b: b),
    "/r co cg k* | r co": (lambda w: w.transpose(0, 4, 3, 1, 2), lambda b: b),
    "/(r co) cg (k*) | (r co)": (lambda w: w.transpose(0, 4, 3, 1, 2).reshape(-1, 2, 4), np.ravel),
    "/k* cg (r co) | co r": (lambda w: w.transpose(1, 2, 3, 0, 4).reshape(2, 2, 2, -1), np.transpose),
}


def stored(spec, where):
    return [np.random.default_rng(3).integers(1, 1 << 40, shape) for shape in regions.shapes(spec, where).values()]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("name", "where"), [("2x3", (2, 3)), (json.dumps(FREE.tolist()), FREE)])
def test_regions_are_expanded_and_back(name, where, order):
    layout, given = f"regions/{name}{order}", stored(SPEC, where)
    written = [change(array) for change, array in zip(ORDERS[order], given, strict=True)]
    assert lcl.layouts.weight_shape(layout, SPEC) == written[0].shape
    assert lcl.layouts.bias_shape(layout, SPEC) == written[1].shape
    canonical = lcl.layouts.convert(SPEC, *written, source=layout, target="canonical")
    for one, other in zip(canonical, regions.expand(SPEC, where, *given), strict=True):
        assert np.array_equal(one, other)
    for one, other in zip(
        lcl.layouts.convert(SPEC, *canonical, source="canonical", target=layout), written, strict=True
    ):
        assert np.array_equal(one, other)
    assert layout in lcl.layouts.explain(layout)


def test_a_bias_per_channel_stays_one():
    spec = lcl.Spec.from_dict(SPEC.to_dict() | {"bias": "channel"})
    kernels, bias = stored(spec, 2)
    _, same = lcl.layouts.convert(spec, kernels, bias, source="regions/2x2", target="canonical")
    assert np.array_equal(same, bias)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("regions/5x2", r"axis oy: got 5 regions, expected 1 to 4 = floor\(\(5"),
        ("regions/[[0,1]]", "axis oy: got 1 numbers"),
        ("regions/2", "rank 1"),
        ("regions/2,3", "regions along each axis"),
        ("regions/[[0,1],[0]]", "regions along each axis"),
        ("regions/", "regions along each axis"),
        ("regions/2x3/o* k* cg co", "a pattern with r, the region"),
        ("regions/2x3/r k* cg", "each axis once"),
    ],
)
def test_what_is_no_map_of_the_layer_is_refused(name, words):
    with pytest.raises(lcl.LayoutError, match=words):
        lcl.layouts.weight_shape(name, SPEC)


def test_a_file_of_regions_is_converted_and_back(tmp_path):
    kernels, bias = stored(SPEC, (2, 2))
    np.savez(tmp_path / "net.npz", weight=kernels, bias=bias)
    (tmp_path / "spec.json").write_text(SPEC.to_json())

    def run(old, new, *words):
        return CliRunner().invoke(command, [str(tmp_path / old), str(tmp_path / new), *words])

    done = run(
        "net.npz", "all.npz", "--from", "regions/2x2", "--to", "canonical", "--spec", str(tmp_path / "spec.json")
    )
    assert done.exit_code == 0, done.output
    assert run("all.npz", "back.npz", "--from", "stored", "--to", "regions/2x2").exit_code == 0
    assert np.array_equal(np.load(tmp_path / "back.npz")["weight"], kernels)
    assert json.loads((tmp_path / "back.npz.spec.json").read_text())["layers"][0]["layout"] == "regions/2x2"
    refused = run("all.npz", "no.npz", "--from", "stored", "--to", "regions/1x2")
    assert "differs between positions (0, 0) and (2, 0) of region 0" in str(refused.exception)
