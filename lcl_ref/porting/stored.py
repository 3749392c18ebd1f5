"""The layers of a stored network, each with its arrays by role, as late Keras 2 has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcl_ref import layouts
from lcl_ref.files.contents import Array, LocalLayer, NetworkLayer, WeightFile
from lcl_ref.files.keras.old_arrays import CUDNN, modern_arrays

ROLES = {
    "Dense": "kernel bias",
    "Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose": "kernel bias",
    "DepthwiseConv1D DepthwiseConv2D": "depthwise_kernel bias",
    "LocallyConnected1D LocallyConnected2D LocallyConnected3D": "kernel bias",
    "BatchNormalization": "gamma beta moving_mean moving_variance",
    "LayerNormalization": "gamma beta",
    "Embedding": "embeddings",
    "LSTM GRU SimpleRNN": "kernel recurrent_kernel bias",
}
"""Classes of Keras -> what their arrays are, in the order of ``get_weights``."""

_ROLES = {name: roles.split() for names, roles in ROLES.items() for name in names.split()}
_GIVEN = {"bias": "use_bias", "gamma": "scale", "beta": "center"}
"""Array -> the setting that says whether there is one."""


class Misfit(Exception):  # noqa: N818 -- told as one line of an error, never raised to a user
    """Why a stored layer cannot fill a layer of a model."""


@dataclass(frozen=True)
class Layer:
    """A layer of a stored network.

    Parameters
    ----------
    found : NetworkLayer
        What the file says.
    file : WeightFile
        Where its arrays are.
    local : LocalLayer or None
        Spec and layout, of a locally connected one.
    """

    found: NetworkLayer
    file: WeightFile
    local: LocalLayer | None

    @property
    def name(self) -> str:
        """Its name, with those of the models around it."""
        return self.found.name

    @property
    def kind(self) -> str:
        """Its class in Keras 2; of a cuDNN layer, the plain one that computes the same."""
        return CUDNN.get(self.found.kind, (self.found.kind, 0))[0]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its configuration."""
        return self.found.settings

    def canonical(self) -> tuple[Array, Array | None]:
        """Return weight and bias of a locally connected layer in canonical layout."""
        local = self.local
        assert local is not None
        bias = self.file.tensors[local.bias].read() if local.bias else None
        weight = self.file.tensors[local.weight].read()
        return layouts.convert(local.spec, weight, bias, source=local.layout, target="canonical")

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by role, as late Keras 2 stores them.

        Raises
        ------
        Misfit
            If the layer is of no known class, or has another number of arrays than its configuration says.
        """
        found = self.in_order()
        return self.named(self.kind, self.settings, found)

    def halves(self) -> tuple[str, Mapping[str, Any], list[dict[str, Array]]]:
        """Return class and settings of what a Bidirectional wraps, and the arrays forward and backward.

        Of a plain recurrent layer, the same with one entry.
        """
        if self.kind != "Bidirectional":
            return self.kind, self.settings, [self.arrays()]
        inner, found = self.settings["layer"], self.in_order()
        kind, middle = CUDNN.get(inner["class_name"], (inner["class_name"], 0))[0], len(found) // 2
        halves = [self.named(kind, inner["config"], half) for half in (found[:middle], found[middle:])]
        return kind, inner["config"], halves

    def named(self, kind: str, settings: Mapping[str, Any], found: Sequence[Array]) -> dict[str, Array]:
        """Return arrays of a class by role."""
        if kind not in _ROLES:
            raise Misfit(f"{kind} is not moved: fill it by hand, and leave the rest to strict=False")
        roles = [role for role in _ROLES[kind] if settings.get(_GIVEN.get(role, ""), True)]
        if len(found) != len(roles):
            raise Misfit(f"{len(found)} arrays, expected {len(roles)}: {', '.join(roles)}")
        return dict(zip(roles, found, strict=True))

    def in_order(self) -> list[Array]:
        """Return all arrays in the order of ``get_weights``, as late Keras 2 has them."""
        if self.local is not None:
            return [self.file.tensors[name].read() for name in self.found.arrays]
        found = [self.file.tensors[name].read() for name in self.found.arrays]
        entry = {"class_name": self.found.kind, "config": dict(self.settings)}
        words = self.found.read_as.split()
        return modern_arrays(entry, found, first="keras1" in words, theano="theano" in words)

    def rows(self, axis_order: str) -> Array | None:
        """Return where each input feature of the layer stands in the old order, where channels are moved; else None.

        Parameters
        ----------
        axis_order : {"channels_last", "channels_first", ""}
            How the model flattens; ``""``: not said.

        Raises
        ------
        Misfit
            If the two orders differ by more than names and the model's is not said.
        """
        if all(_same_either_way(part, self.found.channels) for part in self.found.features):
            return None
        if not axis_order:
            shapes = " and ".join(map(str, self.found.features))
            told = f"its input was flattened from {shapes}, channels {self.found.channels}"
            raise Misfit(f"{told}; say how the model flattens: flatten='channels_first' or flatten='channels_last'")
        if axis_order == f"channels_{self.found.channels}":
            return None
        placed, start = [], 0
        for part in self.found.features:
            size = int(np.prod(part))
            old = np.arange(start, start + size).reshape(part)
            placed.append(np.moveaxis(old, *((0, -1) if self.found.channels == "first" else (-1, 0))).reshape(-1))
            start += size
        return np.concatenate(placed)


def _same_either_way(shape: Sequence[int], channels: str) -> bool:
    """Return whether channels first and last are one order: one channel, one site, or nothing flattened."""
    sites = shape[1:] if channels == "first" else shape[:-1]
    count = shape[0] if channels == "first" else shape[-1]
    return len(shape) < 2 or count == 1 or int(np.prod(sites)) == 1


def layers_of(file: WeightFile) -> list[Layer]:
    """Return the layers with weights of an open file, in the order of the network."""
    local = {layer.name: layer for layer in file.layers}
    if file.network:
        return [Layer(found, file, local.get(found.name)) for found in file.network]
    alone = [
        NetworkLayer(one.name, one.kind, tuple(filter(None, (one.weight, one.bias))), one.settings)
        for one in file.layers
    ]
    return [Layer(found, file, local[found.name]) for found in alone]
