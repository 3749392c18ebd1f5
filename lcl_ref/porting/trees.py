"""Parameters of Flax as a tree: which leaves are one layer, and what they take. Kernels lie as Keras has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lcl_ref.porting.slots import (
    Arrays,
    Choices,
    convolution,
    dense,
    local,
    normalisation,
    only,
    recurrent,
    reordered,
    with_bias,
)
from lcl_ref.porting.stored import Layer, Misfit

Path = tuple[str, ...]
Shapes = Mapping[str, tuple[int, ...]]

CELLS = {
    "LSTM": ("ii", "if", "ig", "io", "hi", "hf", "hg", "ho"),
    "GRU": ("ir", "iz", "in", "hr", "hz", "hn"),
    "joined": ("dense_i", "dense_h"),
}
"""Recurrent cell -> the dense layers it is made of; those of nnx hold all gates in two."""


def grouped(leaves: Mapping[Path, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """Return the layers: their path, and their leaves by name, ``hi/kernel`` in a cell."""
    parents: dict[Path, dict[str, Any]] = {}
    for path, leaf in leaves.items():
        parents.setdefault(path[:-1], {})[path[-1]] = leaf
    found: dict[Path, dict[str, Any]] = {}
    for path, own in parents.items():
        beside = {other[-1] for other in parents if len(other) == len(path) and path and other[:-1] == path[:-1]}
        if _is_cell(beside):
            gate = path[-1].strip("_")  # ``if_`` and ``in_`` of nnx
            found.setdefault(path[:-1], {}).update({f"{gate}/{name}": leaf for name, leaf in own.items()})
        else:
            found.setdefault(path, {}).update(own)
    return list(found.items())


def _is_cell(children: set[str]) -> bool:
    return any(set(parts) <= {name.removesuffix("_") for name in children} for parts in CELLS.values())


def flattens(_layer: Layer) -> str:
    """Return the order of Flax: its layers have the channels last."""
    return "channels_last"


def arrays(shapes: Shapes, layer: Layer, choices: Choices) -> Arrays:
    """Return the arrays for the leaves of one layer.

    Raises
    ------
    Misfit
        If the stored layer is none that has such leaves.
    """
    if any("/" in name for name in shapes):
        return _cell(shapes, layer, choices)
    if "embedding" in shapes:
        only(layer, "Embedding")
        return {"embedding": layer.arrays()["embeddings"]}
    if "kernel" not in shapes:
        return _norm(shapes, layer, choices)
    kernel, bias = _kernel(shapes, layer, choices)
    return with_bias({"kernel": kernel}, "bias", bias, shapes, kernel.dtype)


def _kernel(shapes: Shapes, layer: Layer, choices: Choices) -> tuple[Any, Any]:
    if layer.local is not None:
        canonical = shapes["kernel"] == layer.local.spec.weight_shape
        return local(layer, choices.layout or ("canonical" if canonical else "flax/conv_local"))
    return dense(layer, choices) if layer.kind == "Dense" else convolution(layer)


def _norm(shapes: Shapes, layer: Layer, choices: Choices) -> Arrays:
    only(layer, "BatchNormalization" if "mean" in shapes else "LayerNormalization")
    names = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    whole = {names[role]: array for role, array in normalisation(layer, choices).items()}
    stated = {name: layer.settings.get({"bias": "center"}.get(name, name), True) for name in ("scale", "bias")}
    return {name: array for name, array in whole.items() if name in shapes or stated.get(name, True)}


def _cell(shapes: Shapes, layer: Layer, choices: Choices) -> Arrays:
    joined = "dense_i/kernel" in shapes
    hidden = shapes["dense_h/kernel"] if joined else ()
    kind = ("LSTM" if hidden[1] == 4 * hidden[0] else "GRU") if joined else "LSTM" if "ii/kernel" in shapes else "GRU"
    halves = recurrent(layer, kind, choices)
    if len(halves) > 1:
        raise Misfit("two directions: fill one cell for each by hand")
    made = _lstm(halves[0]) if kind == "LSTM" else _gru(halves[0])
    parts = _joined(CELLS[kind], made) if joined else made
    biases = {name: parts.pop(name) for name in list(parts) if name.endswith("bias")}
    for name in shapes:
        if name.endswith("bias"):
            with_bias(parts, name, biases.pop(name, None), shapes, halves[0]["kernel"].dtype)
    lost = [name for name, bias in biases.items() if np.any(bias)]
    if lost:
        raise Misfit(f"a bias for {lost[0]}, for which the model has no place")
    return parts


def _lstm(half: Mapping[str, Any]) -> Arrays:
    """Return one dense layer for each gate; the bias stands with the hidden state."""
    found: Arrays = {}
    kernels = zip("ifgo", *(np.split(half[name], 4, -1) for name in ("kernel", "recurrent_kernel")), strict=True)
    for gate, inner, outer in kernels:
        found |= {f"i{gate}/kernel": inner, f"h{gate}/kernel": outer}
    if "bias" in half:
        found |= {f"h{gate}/bias": bias for gate, bias in zip("ifgo", np.split(half["bias"], 4), strict=True)}
    return found


def _gru(half: Mapping[str, Any]) -> Arrays:
    """Return one dense layer for each gate: of r and z both biases stand with the input."""
    order = (1, 0, 2)  # Keras has z r n
    found: Arrays = {}
    parts = (np.split(reordered(half[name], order), 3, -1) for name in ("kernel", "recurrent_kernel"))
    for gate, inner, outer in zip("rzn", *parts, strict=True):
        found |= {f"i{gate}/kernel": inner, f"h{gate}/kernel": outer}
    if "bias" in half:
        inner, outer = (np.split(reordered(bias, order), 3) for bias in half["bias"])
        found |= {"ir/bias": inner[0] + outer[0], "iz/bias": inner[1] + outer[1]}
        found |= {"in/bias": inner[2], "hn/bias": outer[2]}
    return found


def _joined(gates: Sequence[str], made: Mapping[str, Any]) -> Arrays:
    """Return two dense layers of all gates; a bias that only some gates have is zero in the others."""
    found: Arrays = {}
    for side in "ih":
        own = [gate for gate in gates if gate.startswith(side)]
        found[f"dense_{side}/kernel"] = np.concatenate([made[f"{gate}/kernel"] for gate in own], -1)
        if any(f"{gate}/bias" in made for gate in own):
            zero = np.zeros(made[f"{own[0]}/kernel"].shape[-1], made[f"{own[0]}/kernel"].dtype)
            found[f"dense_{side}/bias"] = np.concatenate([made.get(f"{gate}/bias", zero) for gate in own])
    return found
