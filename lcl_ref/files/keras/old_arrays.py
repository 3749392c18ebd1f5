"""Arrays of a layer as older Keras stored them, as the last Keras 2 does: order of axes, of gates, and of taps.

Keras 1 kept one array per gate of a recurrent layer, and its kernels in the order of its data format; under Theano a
convolution was one, with reversed taps, where every other backend correlates; cuDNN layers kept transposed gates. A
locally connected layer never was any of these: its arrays stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lcl_ref.files.contents import Array
from lcl_ref.files.keras.shapes import per_axis

GATES = {"GRU": (0, 1, 2), "LSTM": (0, 2, 1, 3), "ConvLSTM2D": (0, 2, 1, 3)}
"""Recurrent layer -> in which order Keras 1 stored its gates; those of the LSTM were i, c, f, o."""

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D")
CUDNN = {"CuDNNLSTM": ("LSTM", 4), "CuDNNGRU": ("GRU", 3)}
"""Layer of cuDNN -> the layer that computes the same, and its number of gates."""


def listing(names: Iterable[str], name: str = "weight_names") -> list[str]:
    """Return which attributes of a group list its arrays, in order: one, or numbered parts where they are many.

    Examples
    --------
    >>> listing(["weight_names10", "weight_names2", "backend"])
    ['weight_names2', 'weight_names10']
    """
    parts = [one for one in names if re.fullmatch(rf"{name}\d*", one)]
    return sorted(parts, key=lambda one: int(one.removeprefix(name) or -1))


def modern_arrays(entry: Mapping[str, Any], arrays: Sequence[Array], *, first: bool, theano: bool) -> list[Array]:
    """Return the arrays of one layer in the shapes of late Keras 2.

    Parameters
    ----------
    entry : mapping
        The layer's ``class_name`` and ``config`` in the words of Keras 2 (`lcl_ref.files.keras.dialects`).
    arrays : sequence of array
        As they are stored.
    first, theano : bool
        Whether Keras 1, and whether Keras with Theano wrote them.
    """
    name, config, found = entry["class_name"], entry["config"], list(arrays)
    if name == "TimeDistributed":
        return modern_arrays(config["layer"], found, first=first, theano=theano)
    if name == "Bidirectional":
        middle = len(found) // 2
        halves = (found[:middle], found[middle:])
        return [part for half in halves for part in modern_arrays(config["layer"], half, first=first, theano=theano)]
    if first and name in GATES and len(found) == 3 * len(GATES[name]):
        found = _joined_gates(found, GATES[name])
    if first and name in CONVOLUTIONS and found:
        count = 2 if name == "ConvLSTM2D" else 1
        found[:count] = [_channels_last_kernel(name, config, kernel) for kernel in found[:count]]
    if theano and name in CONVOLUTIONS:
        found = [np.flip(a, tuple(range(a.ndim - 2))) if a.ndim > 2 else a for a in found]
    return _of_cudnn(found, CUDNN[name][1]) if name in CUDNN else found


def _joined_gates(found: Sequence[Array], order: Sequence[int]) -> list[Array]:
    return [np.concatenate([found[3 * gate + part] for gate in order], axis=-1) for part in range(3)]


def _channels_last_kernel(name: str, config: Mapping[str, Any], kernel: Array) -> Array:
    """Return a kernel of Keras 1 as ``(k*, ci, co)``, that of a transposed convolution as ``(k*, co, ci)``.

    Keras 1 kept ``(co, ci, k*)`` where channels come first, and before 1.2 in one dimension; one that has none of its
    shapes is that of Keras 2 already.
    """
    size, filters = per_axis(config["kernel_size"], kernel.ndim - 2), config["filters"]
    if name == "Conv1D":
        if kernel.ndim == 4 and kernel.shape[:2] == (size[0], 1) and kernel.shape[3] == filters:
            return kernel[:, 0]
        return np.transpose(kernel, (2, 3, 1, 0))[:, 0] if kernel.ndim == 4 else kernel
    if config.get("data_format") == "channels_first":
        if kernel.shape[2:] != tuple(size):
            return kernel
        places = range(2, kernel.ndim)
        return np.transpose(kernel, (*places, 0, 1) if name == "Conv2DTranspose" else (*places, 1, 0))
    return np.transpose(kernel, (0, 1, 3, 2)) if name == "Conv2DTranspose" else kernel


def _of_cudnn(found: list[Array], gates: int) -> list[Array]:
    """Return kernel, recurrent kernel and bias of a cuDNN layer as the plain layer has them."""
    kernel, recurrent, bias = found
    kernel = np.hstack([part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)])
    recurrent = np.hstack([part.T for part in np.hsplit(recurrent, gates)])
    bias = bias.reshape(2, -1)
    return [kernel, recurrent, bias if gates == 3 else bias.sum(0)]
