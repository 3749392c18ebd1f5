"""Blocks of unequal sizes: a block-diagonal map stored as equal blocks, filled up with zeros.

SPEC clause 14.4. One batched product serves all blocks; what is filled up is reported: it can be most of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcl_ref.core.checks import Array
from lcl_ref.errors import LayoutError, ShapeError, SpecError, Violation
from lcl_ref.extensions._namespace import namespace


@dataclass(frozen=True)
class Blocks:
    """The sizes of the blocks, in order.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Inputs and outputs of each block, at least 1.

    Raises
    ------
    SpecError
        If there is no block, or a size is below 1.

    Examples
    --------
    >>> from lcl_ref.extensions import unequal
    >>> blocks = unequal.Blocks([(1, 2), (2, 1)])
    >>> blocks.in_channels, blocks.out_channels, blocks.packed_shape, blocks.waste
    (3, 3, (2, 2, 2), 2.0)
    """

    sizes: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        if not self.sizes or min(map(min, self.sizes)) < 1:
            raise SpecError(Violation("blocks/sizes", "sizes", repr(self.sizes), "pairs of whole numbers from 1 on"))

    @property
    def in_channels(self) -> int:
        """Inputs of all blocks."""
        return sum(inputs for inputs, _ in self.sizes)

    @property
    def out_channels(self) -> int:
        """Outputs of all blocks."""
        return sum(outputs for _, outputs in self.sizes)

    @property
    def inputs(self) -> list[slice]:
        """Where the inputs of each block are."""
        ends = np.cumsum([inputs for inputs, _ in self.sizes]).tolist()
        return list(map(slice, [0, *ends], ends))

    @property
    def packed_shape(self) -> tuple[int, int, int]:
        """``(blocks, most inputs, most outputs)``."""
        inputs, outputs = zip(*self.sizes, strict=True)
        return len(self.sizes), max(inputs), max(outputs)

    @property
    def waste(self) -> float:
        """Numbers stored per weight: 1 where all blocks are equal."""
        return float(np.prod(self.packed_shape)) / sum(inputs * outputs for inputs, outputs in self.sizes)


def pack(blocks: Blocks, weights: Sequence[Any]) -> Any:
    """Return the weights of all blocks as one array, zeros around; differentiable in each.

    Parameters
    ----------
    blocks : Blocks
        The sizes.
    weights : sequence of array
        Per block ``(inputs, outputs)``, of NumPy, torch or JAX.

    Returns
    -------
    array
        ``(blocks, most inputs, most outputs)``, of the same framework.

    Raises
    ------
    ShapeError
        If the weights are not those of the blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from lcl_ref.extensions import unequal
    >>> blocks = unequal.Blocks([(1, 2), (2, 1)])
    >>> packed = unequal.pack(blocks, [np.array([[1, 2]]), np.array([[3], [4]])])
    >>> packed.tolist()
    [[[1, 2], [0, 0]], [[3, 0], [4, 0]]]
    """
    found = [tuple(weight.shape) for weight in weights]
    if found != list(map(tuple, blocks.sizes)):
        raise ShapeError(Violation("blocks/weights", "weights", f"shapes {found}", f"{list(blocks.sizes)}"))
    flat = [weight.reshape(-1) for weight in weights]
    xp = namespace(weights[0])
    return xp.concatenate([*flat, xp.zeros_like(flat[0][:1])])[_elements(blocks)]


def _elements(blocks: Blocks) -> NDArray[np.intp]:
    """``packed_shape``: where each number stands in the weights of all blocks end to end; fillers behind the last."""
    total = sum(inputs * outputs for inputs, outputs in blocks.sizes)
    table, first = np.full(blocks.packed_shape, total, np.intp), 0
    for block, (inputs, outputs) in enumerate(blocks.sizes):
        table[block, :inputs, :outputs] = np.arange(first, first + inputs * outputs).reshape(inputs, outputs)
        first += inputs * outputs
    return table


def forward(blocks: Blocks, x: Any, packed: Any, bias: Any = None) -> Any:
    """Return ``y = x @ block_diag(weights) + bias``.

    A filler reads a zero, and what is computed for outputs that a block does not have is left out: an infinity or NaN
    stays in its block.

    Parameters
    ----------
    blocks : Blocks
        The sizes.
    x : array
        ``(n, ci)``, of NumPy, torch or JAX.
    packed : array
        ``(blocks, most inputs, most outputs)``, as `pack` returns, of the same framework.
    bias : array or None
        ``(co,)``.

    Returns
    -------
    array
        ``(n, co)``.

    Examples
    --------
    >>> import numpy as np
    >>> from lcl_ref.extensions import unequal
    >>> blocks = unequal.Blocks([(1, 2), (2, 1)])
    >>> packed = unequal.pack(blocks, [np.array([[1, 2]]), np.array([[3], [4]])])
    >>> unequal.forward(blocks, np.array([[1, 10, 100]]), packed)
    array([[  1,   2, 430]])
    """
    count, inputs, outputs = blocks.packed_shape
    with_zero = namespace(x).concatenate([x, namespace(x).zeros_like(x[:, :1])], 1)
    sources = _places([size for size, _ in blocks.sizes], inputs, blocks.in_channels)
    seen = with_zero[:, sources]  # (n, blocks, most inputs)
    products = namespace(x).einsum("ngi,gio->ngo", seen, packed).reshape(len(x), count * outputs)
    targets = _places([size for _, size in blocks.sizes], outputs, blocks.out_channels)
    kept = np.flatnonzero(targets < blocks.out_channels)
    y = products[:, kept]
    return y if bias is None else y + bias


def split(blocks: Blocks, matrix: ArrayLike) -> list[Array]:
    """Return the weights of the blocks of a dense matrix, as ``block_diag`` of NumPy's or torch's world makes it.

    Parameters
    ----------
    blocks : Blocks
        The sizes.
    matrix : array_like
        ``(ci, co)``; the weight of `torch.nn.Linear` is ``(co, ci)``, and goes in transposed.

    Returns
    -------
    list of array
        Per block ``(inputs, outputs)``, in memory of their own.

    Raises
    ------
    ShapeError
        If the matrix has another shape.
    LayoutError
        If it is not zero outside the blocks; the error names the first entry.

    Examples
    --------
    >>> import numpy as np
    >>> from lcl_ref.extensions import unequal
    >>> blocks = unequal.Blocks([(1, 2), (2, 1)])
    >>> [weight.tolist() for weight in unequal.split(blocks, [[1, 2, 0], [0, 0, 3], [0, 0, 4]])]
    [[[1, 2]], [[3], [4]]]
    """
    whole = np.asarray(matrix)
    expected = blocks.in_channels, blocks.out_channels
    if whole.shape != expected:
        todo = "a weight of torch.nn.Linear goes in transposed" if whole.shape == expected[::-1] else ""
        want = f"{expected}: {'+'.join(str(i) for i, _ in blocks.sizes)}, {'+'.join(str(o) for _, o in blocks.sizes)}"
        raise ShapeError(Violation("blocks/matrix", "matrix", f"shape {whole.shape}", want, todo=todo))
    outside = whole != 0
    parts, first = [], np.zeros(2, int)
    for inputs, outputs in blocks.sizes:
        place = slice(first[0], first[0] + inputs), slice(first[1], first[1] + outputs)
        parts.append(whole[place].copy())
        outside[place] = False
        first += inputs, outputs
    if outside.any():
        at = tuple(map(int, np.argwhere(outside)[0]))
        got = f"{whole[at]} at {at}, outside the blocks"
        raise LayoutError(Violation("blocks/outside", "matrix", got, "zeros there", todo="other sizes may fit"))
    return parts


def _places(sizes: Sequence[int], most: int, filler: int) -> NDArray[np.intp]:
    """``(blocks, most)``: channel numbers of each block, filled up with `filler`."""
    table = np.full((len(sizes), most), filler, np.intp)
    first = 0
    for block, size in enumerate(sizes):
        table[block, :size] = np.arange(first, first + size)
        first += size
    return table
