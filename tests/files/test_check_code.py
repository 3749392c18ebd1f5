"""The user's own code decides how arrays are to be read, in a process of its own."""

import numpy as np
import pytest
from click.testing import CliRunner

import lcl_ref as lcl
from lcl_ref.cli.convert import convert
from lcl_ref.files import open_weights

SQUARE = lcl.Spec(input_size=(5, 5), in_channels=3, out_channels=2, kernel_size=3)
LINE = lcl.Spec(input_size=9, in_channels=3, out_channels=4, kernel_size=3, stride=2)

FORUM = """
import torch
from torch import nn

class LocallyConnected2d(nn.Module):
    def __init__(self, in_channels, out_channels, output_size, kernel_size, stride, bias=False):
        super().__init__()
        height, width = output_size
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, height, width, kernel_size**2))
        self.bias = nn.Parameter(torch.randn(1, out_channels, height, width))
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x):
        k, s = self.kernel_size, self.stride
        x = x.unfold(2, k, s).unfold(3, k, s)
        x = x.contiguous().view(*x.size()[:-2], -1)
        return (x.unsqueeze(1) * self.weight).sum([2, -1]) + self.bias
"""
CHANNELS_LAST = '''
import numpy as np

def layer(x, weight, bias):
    """Windows of taps by channels; the weight is (o, k, c, co)."""
    windows = np.stack([x[:, 2 * o : 2 * o + 3] for o in range(len(weight))], 1)
    return np.einsum("nokc,okcf->nof", windows, weight) + bias

def turned(x, weight, bias):
    """The same with the weight (o, c, k, co)."""
    return layer(x, weight.swapaxes(1, 2), bias)

def wrong(x, weight, bias):
    return layer(x, weight, bias) + 1

def hangs_on(x, weight, bias):
    import os
    os._exit(7)

def make():
    import torch

    class Made(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(4, 3, 3, 4))
            self.b = torch.nn.Parameter(torch.zeros(4, 4))

        def forward(self, x):  # channels first
            return torch.einsum("ncok,okcf->nfo", x.unfold(2, 3, 2), self.w) + self.b.T

    return Made()

class Needs:
    def __init__(self, temperature):
        pass
'''


def numbers(shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture
def run(tmp_path):
    """Give a function that converts the arrays of a layer stored in a layout, with more options."""
    (tmp_path / "forum.py").write_text(FORUM)
    (tmp_path / "last.py").write_text(CHANNELS_LAST)

    def command(spec, layout, *more, code=True):
        held = lcl.layouts.convert(
            spec, numbers(spec.weight_shape), numbers(spec.bias_shape), source="canonical", target=layout
        )
        np.savez(tmp_path / "old.npz", **dict(zip(("local.weight", "local.bias"), held, strict=True)))
        (tmp_path / "spec.json").write_text(spec.to_json())
        words = [tmp_path / "old.npz", tmp_path / "new.npz", "--to", "canonical", "--spec", tmp_path / "spec.json"]
        words += ["--check-code", f"{tmp_path}/{more[0]}", *more[1:]] if code else more
        return CliRunner().invoke(convert, list(map(str, words)), catch_exceptions=False)

    return command


def assert_canonical(folder, spec):
    with open_weights(folder / "new.npz") as file:
        assert np.array_equal(file.tensors["local.weight"].read(), numbers(spec.weight_shape))
        assert np.array_equal(file.tensors["local.bias"].read(), numbers(spec.bias_shape))


def test_a_torch_layer_is_built_by_its_arguments_and_finds_its_layout(run, tmp_path):
    done = run(SQUARE, "torch/ptrblck", "forum.py:LocallyConnected2d")
    assert "proved     local: its old arrays, read as torch/ptrblck, compute what" in done.output
    assert_canonical(tmp_path, SQUARE)


def test_code_decides_between_two_readings_of_one_shape(run, tmp_path):
    kept, turned = "o k ci co", "o ci k co"
    for stored, name, other in ((kept, "layer", turned), (turned, "turned", kept)):
        run(LINE, stored, f"last.py:{name}", "--from", stored)
        assert_canonical(tmp_path, LINE)
        with pytest.raises(lcl.LayoutError, match=r"write --from 'ox .* co [|] o[*] co', which computes it"):
            run(LINE, stored, f"last.py:{name}", "--from", other)
    with pytest.raises(lcl.LayoutError, match="--check-code"):
        run(LINE, kept, "--from", kept, code=False)


def test_a_function_that_makes_the_layer_fills_arrays_of_other_names(run, tmp_path):
    run(LINE, "o k ci co", "last.py:make", "--from", "o k ci co")
    assert_canonical(tmp_path, LINE)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("last.py:wrong", "other numbers than the known output"),
        ("last.py:hangs_on", "exit status 7"),
        ("last.py:Needs", "argument temperature of Needs.*def make"),
        ("last.py:nothing", "exit status 1: AttributeError"),
        ("gone.py:Layer", "no file .*gone.py"),
    ],
)
def test_code_that_does_not_fit_is_refused_and_nothing_is_written(run, tmp_path, code, message):
    with pytest.raises(lcl.LclError, match=message):
        run(LINE, "o k ci co", code)
    assert not (tmp_path / "new.npz").exists()


def test_an_output_that_readings_give_alike_proves_nothing(run, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, *LINE.input_size, 3), np.float32))
    np.save(tmp_path / "y.npy", numbers(LINE.bias_shape)[None])
    known = ["--check", str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    with pytest.raises(lcl.LayoutError, match="give alike, with other weights"):
        run(LINE, "o k ci co", "--from", "o k ci co", *known, code=False)
