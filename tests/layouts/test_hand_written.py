"""Arrangements of hand-written torch layers (hand_written.toml): one pattern moves each, and a wrong one is found."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.files import convert_file, open_weights

TABLE = tomllib.loads(Path(__file__).with_name("hand_written.toml").read_text())
LAYERS = [(int(rank), layer) for rank, layers in TABLE.items() for layer in layers]

SIZES = {0: ((), ()), 1: ((9,), (3,)), 2: ((10, 8), (3, 2)), 3: ((9, 9, 11), (2, 3, 1))}
"""Rank -> input size, kernel size; every axis of a layer has a length of its own."""
POSITIONS, TAPS = "zyx", "jkl"


def spec_of(rank, bias):
    size, kernel = SIZES[rank]
    positioned = rank and any(letter in bias for letter in POSITIONS)
    channels = {"in_channels": 5, "out_channels": 4} if rank else {"in_channels": 15, "out_channels": 6, "groups": 3}
    return lcl.Spec(input_size=size, kernel_size=kernel, bias="position" if positioned else "channel", **channels)


def lengths_of(spec):
    """Return the length of every axis by its letter; those of one dimension are y and k, of two y x and k l."""
    rank = spec.rank
    places = dict(zip(letters(POSITIONS, rank), spec.output_size, strict=True))
    taps = dict(zip(letters(TAPS, rank), spec.kernel_size, strict=True))
    return places | taps | {"g": spec.groups, "c": spec.weight_shape[-2], "f": spec.out_channels // spec.groups}


def letters(known, rank):
    return {0: "", 1: known[1], 2: known[1:], 3: known}[rank]


def stored(axes, numbers):
    """Return an array of single axes as it is stored, and its letters in that order."""
    groups, inside = [], None
    for word in axes.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            inside = ""
        elif word == ")":
            groups, inside = [*groups, inside], None
        elif inside is not None:
            inside += word
        else:
            groups.append("" if word == "1" else word)
    order = "".join(groups)
    array = numbers(order)
    sizes = iter(array.shape)
    return array.reshape([int(np.prod([next(sizes) for _ in group])) for group in groups]), array, order


def asked(rank, layer):
    """Return the specification, stored weight and bias, an input, and what the torch layer makes of it."""
    import torch

    spec = spec_of(rank, layer["bias"])
    lengths, draw = lengths_of(spec), np.random.default_rng(rank)

    def numbers(order):
        return draw.integers(-4, 5, [lengths[letter] for letter in order]).astype("float32")

    weight, w, of_weight = stored(layer["weight"], numbers)
    bias, b, of_bias = stored(layer["bias"], numbers)
    x = draw.integers(-3, 4, (2, spec.in_channels, *spec.input_size)).astype("float32")
    windows = torch.from_numpy(x)
    for axis, size in enumerate(spec.kernel_size, 2):
        windows = windows.unfold(axis, size, 1)
    places, taps = letters(POSITIONS, rank), letters(TAPS, rank)
    block = "" if rank else "g"
    windows = windows if rank else windows.unflatten(1, (spec.groups, -1))
    y = torch.einsum(f"n{block}c{places}{taps},{of_weight}->n{block}f{places}", windows, torch.from_numpy(w))
    given = "".join(letter for letter in f"{block}f{places}" if letter in of_bias)
    offsets = torch.einsum(f"{of_bias}->{given}", torch.from_numpy(b))
    y = y + offsets.reshape(*offsets.shape, *(1 for _ in range(y.ndim - 1 - offsets.ndim)))
    return spec, weight, bias, x, y.flatten(1, 2).numpy() if block else y.numpy()


def moved(folder, spec, weight, bias, layout, known=None):
    """Convert the arrays of a layer by a pattern, and return canonical weight and bias."""
    np.savez(folder / "layer.npz", weight=weight, bias=bias)
    (folder / "spec.json").write_text(spec.to_json())
    options = {"spec": folder / "spec.json", "target": "canonical", "known": known}
    convert_file(folder / "layer.npz", folder / "new.safetensors", source=layout, **options)
    with open_weights(folder / "new.safetensors") as file:
        return file.tensors["weight"].read(), file.tensors["bias"].read()


@pytest.mark.parametrize(("rank", "layer"), LAYERS, ids=[layer["name"] for _, layer in LAYERS])
def test_one_pattern_moves_a_layer_and_a_wrong_one_is_found(tmp_path, rank, layer):
    spec, weight, bias, x, y = asked(rank, layer)
    canonical = moved(tmp_path, spec, weight, bias, layer["from"])
    np.testing.assert_array_equal(np.moveaxis(lcl.forward(spec, np.moveaxis(x, 1, -1), *canonical), -1, 1), y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    known = (tmp_path / "x.npy", tmp_path / "y.npy")
    moved(tmp_path, spec, weight, bias, layer["from"], known)
    with pytest.raises(lcl.LayoutError):
        moved(tmp_path, spec, weight, bias, layer["wrong"], known)


def test_there_are_twenty_arrangements_and_more_and_no_two_are_the_same():
    arrangements = [(rank, layer["weight"], layer["bias"]) for rank, layer in LAYERS]
    assert len(arrangements) >= 20
    assert all(one != other for one, other in itertools.combinations(arrangements, 2))
