"""From whatever a layer returns to NumPy, without importing the layer's framework."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

NUMBERS = "biufcV"
"""Kinds of dtypes that hold numbers; the types of ml_dtypes are of kind V."""


def to_numpy(value: Any) -> NDArray[Any]:
    """Return `value` as a NumPy array: a torch tensor, anything `numpy.asarray` takes, or a DLPack producer.

    Raises
    ------
    TypeError
        If `value` is None, ragged, or nothing of the kind.
    """
    if value is None:
        raise TypeError("got None, expected an array")
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return _from_torch(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"got {type(value).__name__}, expected an array: {error}") from error
    if array.dtype == object and hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    if array.dtype.kind not in NUMBERS:
        raise TypeError(f"got {type(value).__name__}, expected an array of numbers")
    return array


def _from_torch(tensor: Any) -> NDArray[Any]:
    """NumPy has no bfloat16 of its own, so its bits travel as int16."""
    host = tensor.detach().cpu()
    torch = sys.modules["torch"]
    if host.dtype == torch.bfloat16:
        bits: NDArray[Any] = host.contiguous().view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    return np.asarray(host.numpy())
