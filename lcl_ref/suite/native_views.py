"""Ways to make a tensor of a framework from an array so that it is a view, for layers that take such tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Views = dict[str, Callable[[Array], Any]]
Reshaping = tuple[Callable[[Any], Any], Callable[[Any, tuple[int, ...]], Any]]

EXPANDED = "an expanded tensor"
"""The view that repeats the first entry of the first axis."""


def native_views(
    to_native: Callable[[Array], Any],
    channels_last: Callable[[Any], Any],
    expanded: Callable[[Any, tuple[int, ...]], Any],
) -> Views:
    """Return views by the words for them.

    Parameters
    ----------
    to_native : callable
        Makes a tensor of an array.
    channels_last : callable
        Moves the first axis of a tensor to the end, without a copy where the framework can.
    expanded : callable
        ``(tensor, shape)``: repeats a tensor with a first axis of length 1.

    Examples
    --------
    >>> import numpy as np
    >>> views = native_views(np.asarray, lambda array: np.moveaxis(array, 0, -1), np.broadcast_to)
    >>> [view(np.ones((3, 2))).strides for view in views.values()]
    [(8, 24), (32, 16), (0, 8)]
    """

    def sliced(array: Array) -> Any:
        every_second = (slice(1, None, 2),) * array.ndim
        base = np.full([2 * size for size in array.shape], np.nan, array.dtype)
        base[every_second] = array
        return to_native(base)[every_second]

    return {
        "a tensor in channels-first memory": lambda array: channels_last(to_native(np.moveaxis(array, -1, 0).copy())),
        "a slice of a larger tensor": sliced,
        EXPANDED: lambda array: expanded(to_native(array[:1].copy()), array.shape),
    }
