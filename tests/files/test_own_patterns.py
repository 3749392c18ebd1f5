"""Layouts as patterns of the user's own: read, refused where the shape leaves them open, and proved by one answer."""

import json

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights
from lcl_ref.layouts.own import other_readings, own

LAYERS = {1: ((9,), (3,), 2), 2: ((6, 5), (3, 2), 5), 3: ((5, 4, 6), (2, 3, 2), 5)}
"""Rank -> input size, kernel size, input channels."""

PATTERNS = {
    "1 co ci o* (k*) | 1 co o*": lambda w, b: (w.transpose(3, 2, 0, 1)[None], b.T[None]),
    "ci co k o | co o": lambda w, b: (w.transpose(2, 3, 1, 0), b.T),
    "o ci k co": lambda w, b: (w.transpose(0, 2, 1, 3), b),
    "o co ci k | (o co)": lambda w, b: (w.transpose(0, 3, 2, 1), b.reshape(-1)),
    "o co (k ci) | o co": lambda w, b: (w.transpose(0, 3, 1, 2).reshape(len(w), 4, -1), b),
}
"""Pattern -> what it does to a weight (o, k, ci, co) and a bias (o, co) of one dimension."""


def layer(rank=1, channels=None):
    size, kernel, usual = LAYERS[rank]
    spec = lcl.Spec(input_size=size, in_channels=channels or usual, out_channels=4, kernel_size=kernel)
    draw = np.random.default_rng(3)
    weight, bias = (draw.integers(-9, 10, shape).astype(np.float32) for shape in (spec.weight_shape, spec.bias_shape))
    return spec, weight, bias


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_says_where_every_number_is(pattern):
    spec, weight, bias = layer()
    stored = lcl.layouts.convert(spec, weight, bias, source="canonical", target=pattern)
    for got, want in zip(stored, PATTERNS[pattern](weight, bias), strict=True):
        assert np.array_equal(got, want)
    back = lcl.layouts.convert(spec, *stored, source=pattern, target="canonical")
    assert all(np.array_equal(got, want) for got, want in zip(back, (weight, bias), strict=True))


@pytest.mark.parametrize("rank", LAYERS)
def test_the_pattern_of_a_layout_of_the_catalogue_is_that_layout(rank):
    spec, weight, bias = layer(rank)
    for name in ("torch/ptrblck", "flax/conv_local", "canonical"):
        row = lcl.layouts.get(name)
        mine = lcl.layouts.convert(
            spec, weight, bias, source="canonical", target=f"{row.weight} | {row.bias['position']}"
        )
        named = lcl.layouts.convert(spec, weight, bias, source="canonical", target=name)
        assert all(np.array_equal(one, other) for one, other in zip(mine, named, strict=True))


@pytest.mark.parametrize(
    "text", ["o ci k", "o o k ci co", "o (k (ci) co", "o k ci co rows", "o k ci co | co ox oy k", " "]
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(lcl.LayoutError):
        own(text)


def written(folder, spec, pattern, weight, bias):
    stored = lcl.layouts.convert(spec, weight, bias, source="canonical", target=pattern)
    np.savez(folder / "layer.npz", weight=stored[0], bias=stored[1])
    (folder / "spec.json").write_text(json.dumps(spec.to_dict()))
    x = np.random.default_rng(4).integers(-3, 4, spec.x_shape(2)).astype(np.float32)
    np.save(folder / "x.npy", np.moveaxis(x, -1, 1))  # as torch has it
    np.save(folder / "y.npy", np.moveaxis(lcl.forward(spec, x, weight, bias), -1, 1))
    return folder / "layer.npz", folder / "new.safetensors"


def test_an_open_shape_is_refused_with_both_readings_and_one_answer_decides(tmp_path):
    spec, weight, bias = layer(channels=3)  # as many input channels as taps
    assert other_readings(own("o ci k co"), spec) == ["ox kx cg co | o* co"]
    old, new = written(tmp_path, spec, "o ci k co", weight, bias)
    asked = {"target": "canonical", "spec": tmp_path / "spec.json"}
    known = (tmp_path / "x.npy", tmp_path / "y.npy")
    with pytest.raises(lcl.LayoutError, match=r"'o ci k co' and of 'ox kx cg co | o\* co'.*--check"):
        convert_file(old, new, source="o ci k co", **asked)
    with pytest.raises(lcl.LayoutError, match=r"write --from 'ox cg kx co"):
        convert_file(old, new, source="o k ci co", known=known, **asked)
    assert not new.exists()
    convert_file(old, new, source="o ci k co", known=known, **asked)
    with open_weights(new) as file:
        assert np.array_equal(file.tensors["weight"].read(), weight)


def test_one_answer_refutes_an_order_inside_brackets(tmp_path):
    spec, weight, bias = layer(2)
    old, new = written(tmp_path, spec, "(o*) (k* ci) co", weight, bias)
    asked = {"target": "canonical", "spec": tmp_path / "spec.json", "known": (tmp_path / "x.npy", tmp_path / "y.npy")}
    with pytest.raises(lcl.LayoutError, match="other numbers than the known output"):
        convert_file(old, new, source="(o*) (ci k*) co", **asked)
    convert_file(old, new, source="(o*) (k* ci) co", **asked)
    np.save(tmp_path / "y.npy", np.zeros((1, 2, 3), np.float32))
    with pytest.raises(lcl.LayoutError, match="--check"):
        convert_file(old, new, source="(o*) (k* ci) co", **asked)
