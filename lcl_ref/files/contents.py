"""What a weight file holds: arrays, read when they are asked for, and the locally connected layers among them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcl_ref.core.spec import Spec
from lcl_ref.errors import FileError, Violation

Array = NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """One array of a file.

    Parameters
    ----------
    name : str
        Its name in the file.
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its dtype.
    read : callable
        Returns the array; nothing is kept.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Array]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class LocalLayer:
    """A locally connected layer of a file.

    Parameters
    ----------
    name : str
        Name of the layer; of a layer inside a nested model, with the names around it: ``inner/local``.
    kind : str
        Class or section name in the file.
    spec : Spec
        The layer.
    layout : str
        Layout its arrays are stored in.
    weight, bias : str
        Names of its arrays; `bias` is empty without one.
    settings : mapping
        What the file says about it beside the spec (activation, ...), JSON-ready.
    """

    name: str
    kind: str
    spec: Spec
    layout: str
    weight: str
    bias: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkLayer:
    """A layer with weights of a Keras model, locally connected or not.

    Parameters
    ----------
    name, kind : str
        Its name, with the names around it, and its class in the words of Keras 2.
    arrays : tuple of str
        Names of its arrays, in the order of Keras's ``get_weights``.
    settings : mapping
        Its configuration in the words of Keras 2, JSON-ready.
    read_as : str
        How its arrays are stored: ``""`` as late Keras 2 has them, ``"keras1"``, ``"theano"`` or both.
    features : tuple of tuple of int
        Where the last axis of its input was flattened: the shapes it was made of, one after the other.
    channels : {"first", "last"}
        Where the channels of these shapes are.
    """

    name: str
    kind: str
    arrays: tuple[str, ...]
    settings: Mapping[str, Any]
    read_as: str = ""
    features: tuple[tuple[int, ...], ...] = ()
    channels: str = "last"


@dataclass(frozen=True)
class WeightFile:
    """An open weight file.

    Parameters
    ----------
    path : Path
        Where it is.
    form : str
        Format in words.
    tensors : mapping of str to Tensor
        The weights by name, in the order of the file.
    layers : tuple of LocalLayer
        The locally connected layers among them.
    left : tuple of str
        What is in the file beside weights (optimiser state, ...) and is never carried along.
    notes : tuple of str
        What a reader should know (custom objects, ...).
    handle : object
        What a writer of the same format needs to copy the rest.
    config : mapping or None
        The stored configuration of the model, where the format has one.
    network : tuple of NetworkLayer
        All layers with weights, in the order of the model, where a configuration of Keras is known.
    """

    path: Path
    form: str
    tensors: Mapping[str, Tensor]
    layers: tuple[LocalLayer, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    handle: Any = None
    config: Mapping[str, Any] | None = None
    network: tuple[NetworkLayer, ...] = ()

    def layer(self, name: str) -> LocalLayer | None:
        """Return the layer called `name`, or None."""
        return next((layer for layer in self.layers if layer.name == name), None)

    def called(self, name: str) -> tuple[LocalLayer, ...]:
        """Return the layers called `name`, in full or by its last part: ``local`` finds ``inner/local``.

        Raises
        ------
        FileError
            If there is none; the error offers the nearest name, and lists all.
        """
        found = tuple(layer for layer in self.layers if name in (layer.name, layer.name.split("/")[-1]))
        if not found:
            names = [layer.name for layer in self.layers]
            nearest = difflib.get_close_matches(name, names, 1, cutoff=0.5)
            todo = f"did you mean {nearest[0]}?" if nearest else ""
            got, expected = f"no layer called {name!r}", f"one of {', '.join(names)}"
            raise FileError(Violation("file/layer", self.path.name, got, expected, todo=todo))
        return found
