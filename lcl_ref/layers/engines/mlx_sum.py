"""A result of MLX that is written piece by piece, in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

TILES_AHEAD = 4
"""So many tiles may be multiplied before they are added to the gradient of the input."""


class Sum:
    """A result that is written piece by piece, in place; a piece as large as the whole becomes it."""

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        self._shape, self._dtype = tuple(shape), dtype
        self.value: Any = None
        self._last: Any = None
        self._count = 0

    def before(self, factor: Any) -> Any:
        """Return `factor`, to be used after what has been put: MLX would hold the windows of many tiles at once.

        Now and then it waits for the sum, else for the last piece: a sum that anything waits for is copied by `put`.
        """
        self._count += 1
        if self.value is None:
            return factor
        return mx.depends([factor], [self._last if self._count % TILES_AHEAD else self.value])[0]

    def put(self, where: tuple[Any, ...], piece: Any, *, add: bool = False) -> None:
        """Write `piece` at index `where`, or add it."""
        self._last = piece
        if piece.shape == self._shape:
            self.value = self.value + piece if add and self.value is not None else piece
            return
        if self.value is None:
            self.value = mx.zeros(self._shape, self._dtype)
        if add:
            self.value = self.value.at[where].add(piece)  # in place; what reads the sum to add to it would copy it
        else:
            self.value[where] = piece
