"""A layer of a model that is to be filled: what frameworks have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lcl_ref import layouts
from lcl_ref.files.contents import Array
from lcl_ref.porting.stored import Layer, Misfit

Arrays = dict[str, Array]


@dataclass(frozen=True)
class Choices:
    """What the caller says about a layer: how the model flattens, and the layout of a layer of its own."""

    flatten: str = ""
    layout: str = ""


@dataclass(frozen=True)
class Slot:
    """A layer of a model.

    Parameters
    ----------
    path : str
        Where it is in the model, in the framework's own words.
    shapes : mapping of str to shape
        Its parameters and statistics.
    arrays : callable
        Returns them, of a stored layer; raises `Misfit`.
    put : callable
        Writes them into the model.
    epsilon : float or None
        The constant of a normalisation, where the model tells.
    module : object
        The layer itself, where it is an object.
    """

    path: str
    shapes: Mapping[str, tuple[int, ...]]
    arrays: Callable[[Layer, Choices], Arrays]
    put: Callable[[Mapping[str, Array]], None] = field(repr=False)
    epsilon: float | None = None
    module: Any = field(default=None, repr=False)

    def checked(self, layer: Layer, choices: Choices) -> Arrays:
        """Return the arrays for the parameters, each with its shape.

        Raises
        ------
        Misfit
            If the layers are not of one kind, or arrays or constants differ.
        """
        stated = layer.settings.get("epsilon")
        if None not in (self.epsilon, stated) and np.float32(self.epsilon) != np.float32(stated):
            raise Misfit(f"epsilon {stated}, in the model {self.epsilon}")
        arrays = self.arrays(layer, choices)
        for name in self.shapes:
            if name not in arrays:
                raise Misfit(f"nothing for {name} {self.shapes[name]}")
        for name, array in arrays.items():
            if name not in self.shapes:
                raise Misfit(f"{name} {array.shape}, for which the model has no place")
            if tuple(array.shape) != tuple(self.shapes[name]):
                raise Misfit(f"{name} {tuple(array.shape)}, in the model {tuple(self.shapes[name])}")
        return arrays


def only(layer: Layer, *kinds: str) -> None:
    """Refuse a stored layer of another class."""
    if not layer.kind.startswith(kinds):
        raise Misfit(f"a {layer.kind}, expected {' or '.join(kinds)}")


def dense(layer: Layer, choices: Choices) -> tuple[Array, Array | None]:
    """Return kernel ``(ci, co)``, its rows in the order of the model, and bias."""
    only(layer, "Dense")
    found = layer.arrays()
    rows = layer.rows(choices.flatten)
    kernel = found["kernel"] if rows is None else found["kernel"][rows]
    return kernel, found.get("bias")


def convolution(layer: Layer) -> tuple[Array, Array | None]:
    """Return kernel ``(k*, cg, co)`` and bias of a convolution; a depthwise one has ``cg`` 1."""
    only(layer, "Conv", "DepthwiseConv")
    if "Transpose" in layer.kind:
        raise Misfit(f"a {layer.kind}, expected a convolution that is not transposed")
    found = layer.arrays()
    kernel = found.get("kernel")
    if kernel is None:  # (k*, ci, m): output channel ci * m + m
        kernel = found["depthwise_kernel"]
        kernel = kernel.reshape(*kernel.shape[:-2], 1, kernel.shape[-2] * kernel.shape[-1])
    return kernel, found.get("bias")


def normalisation(layer: Layer, choices: Choices) -> Arrays:
    """Return gamma, beta, moving_mean and moving_variance, or the first two, whole where Keras leaves one out."""
    only(layer, "BatchNormalization", "LayerNormalization")
    found, rows = layer.arrays(), layer.rows(choices.flatten)
    like = next(iter(found.values()), None)
    if like is None:
        raise Misfit("no arrays at all: leave the affine parameters of the model out, too")
    whole = {"gamma": np.ones_like(like), "beta": np.zeros_like(like)} | found
    return whole if rows is None else {role: array[rows] for role, array in whole.items()}


def local(layer: Layer, layout: str) -> tuple[Array, Array | None]:
    """Return weight and bias of a locally connected layer in a layout."""
    only(layer, "LocallyConnected")
    if layer.local is None:
        raise Misfit("the file does not describe it")
    weight, bias = layer.canonical()
    if layout in ("", "canonical"):
        return weight, bias
    return layouts.convert(layer.local.spec, weight, bias, source="canonical", target=layout)


def recurrent(layer: Layer, kind: str, choices: Choices) -> list[Arrays]:
    """Return kernel ``(ci, gates)``, recurrent_kernel ``(u, gates)`` and bias, one entry for each direction.

    Raises
    ------
    Misfit
        If the layer is another one, or does not compute what other frameworks compute under that name.
    """
    name, settings, halves = layer.halves()
    if name != kind:
        raise Misfit(f"a {name}, expected {kind}")
    usual = {"activation": "tanh"} | ({} if kind == "SimpleRNN" else {"recurrent_activation": "sigmoid"})
    for key, word in usual.items():
        if settings.get(key, word) != word:
            raise Misfit(f"{key} {settings[key]}, which other frameworks do not have: {word} only")
    if kind == "GRU" and not settings.get("reset_after", False):
        raise Misfit("reset_after=False: other frameworks apply the reset gate after the product")
    rows = layer.rows(choices.flatten)
    return [half if rows is None else half | {"kernel": half["kernel"][rows]} for half in halves]


def reordered(array: Array, order: Sequence[int], axis: int = -1) -> Array:
    """Return the gates of an array in another order."""
    gates = np.split(array, len(order), axis)
    return np.concatenate([gates[gate] for gate in order], axis)


def with_bias(arrays: Arrays, name: str, bias: Array | None, shapes: Mapping[str, Any], dtype: Any) -> Arrays:
    """Add a bias where the model has one: zeros where the file has none."""
    if bias is not None:
        arrays[name] = bias
    elif name in shapes:
        arrays[name] = np.zeros(shapes[name], dtype)
    return arrays
