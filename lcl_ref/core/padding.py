"""Padding names, resolved once into explicit ``(lo, hi)`` pairs, and the output size they lead to (SPEC 1.2 and 2).

Everything behind the constructor of `Spec` sees pairs only.
"""

from __future__ import annotations

from collections.abc import Callable


def _valid(size: int, window: int, stride: int) -> tuple[int, int]:
    """No padding."""
    return 0, 0


def _same_total(size: int, window: int, stride: int) -> int:
    """Smallest total padding that gives ``ceil(size / stride)`` positions."""
    positions = -(-size // stride)
    return max((positions - 1) * stride + window - size, 0)


def _same_upper(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow and JAX ``SAME``: the odd element goes to the end."""
    total = _same_total(size, window, stride)
    return total // 2, total - total // 2


def _same_lower(size: int, window: int, stride: int) -> tuple[int, int]:
    """ONNX and JAX ``SAME_LOWER``: the odd element goes to the start."""
    lo, hi = _same_upper(size, window, stride)
    return hi, lo


def _same_keras_local(size: int, window: int, stride: int) -> tuple[int, int]:
    """tf_keras ``LocallyConnected``: ``lo = window // 2`` whatever the stride, ``ceil(size / stride)`` positions."""
    lo = window // 2
    positions = -(-size // stride)
    return lo, max((positions - 1) * stride + window - lo - size, 0)


def _causal(size: int, window: int, stride: int) -> tuple[int, int]:
    """Position o sees nothing after input site ``o * stride``."""
    return window - 1, 0


PADDING_RULES: dict[str, Callable[[int, int, int], tuple[int, int]]] = {
    "valid": _valid,
    "same_upper": _same_upper,
    "same_lower": _same_lower,
    "same_keras_local": _same_keras_local,
    "causal": _causal,
}
"""Name -> rule ``(input size, window extent, stride) -> (lo, hi)``; all in elements of one axis."""


def window_extent(kernel_size: int, dilation: int) -> int:
    """Return ``dilation * (kernel_size - 1) + 1``, the elements one window spans along an axis."""
    return dilation * (kernel_size - 1) + 1


def output_size(size: int, kernel_size: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Return the positions along one axis (SPEC 1.2); below 1 where no window fits."""
    return (size + sum(padding) - window_extent(kernel_size, dilation)) // stride + 1


def output_arithmetic(size: int, kernel_size: int, stride: int, padding: tuple[int, int], dilation: int) -> str:
    """Return `output_size` as a worked formula, for messages."""
    positions = output_size(size, kernel_size, stride, padding, dilation)
    lo, hi = padding
    return f"{positions} = floor(({size} + {lo} + {hi} - {dilation}*({kernel_size} - 1) - 1) / {stride}) + 1"


def live_taps(size: int, kernel_size: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Count (position, tap) pairs along one axis whose site ``o*stride + k*dilation - lo`` is inside the input."""
    positions = output_size(size, kernel_size, stride, padding, dilation), stride
    (few, wide), (many, narrow) = sorted((positions, (kernel_size, dilation)))
    return sum(_inside(number * wide - padding[0], narrow, many, size) for number in range(few))


def _inside(start: int, step: int, count: int, size: int) -> int:
    """Count the sites ``start, start + step, ...`` (`count` of them) from 0 to below `size`."""
    first = max(0, -(start // step))
    last = min(count, (size - 1 - start) // step + 1)
    return max(0, last - first)


def resolve(name: str, size: int, kernel_size: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the ``(lo, hi)`` zeros that rule `name` adds along one axis.

    Raises
    ------
    KeyError
        If no rule has that name.
    """
    return PADDING_RULES[name](size, window_extent(kernel_size, dilation), stride)
