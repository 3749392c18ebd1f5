"""Which tap of which position reads which input site: the one index rule of the reference (SPEC clause 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lcl_ref.core import padding
from lcl_ref.core._spec_arguments import Sizes
from lcl_ref.core.spec import Spec

Index = tuple[Any, ...]
"""One int per spatial axis; `Any`, because NumPy's type stubs refuse ``x[:, *index]`` of a tuple of int."""


def input_site(spec: Spec, position: Sizes, tap: Sizes) -> Index | None:
    """Return the input site ``i = o*stride + k*dilation - lo``, or None if it lies in the padding (SPEC 1.1, 7.1)."""
    site = tuple(
        o * stride + k * dilation - lo
        for o, k, stride, dilation, (lo, _) in zip(position, tap, spec.stride, spec.dilation, spec.padding, strict=True)
    )
    inside = all(0 <= i < size for i, size in zip(site, spec.input_size, strict=True))
    return site if inside else None


def weight_position(spec: Spec, position: Sizes) -> Index:
    """Return the index of the weight block a position uses: 0 along shared axes (SPEC 5.1)."""
    return tuple(0 if shared else o for o, shared in zip(position, spec.shared, strict=True))


def connections(spec: Spec) -> Iterator[tuple[Index, Index, Index]]:
    """Yield every ``(position, tap, input site)`` whose site is inside the input, positions slowest.

    At rank 0 there is one position, one tap and one site, all ``()``.
    """
    for position in np.ndindex(spec.output_size):
        for tap in np.ndindex(spec.kernel_size):
            site = input_site(spec, position, tap)
            if site is not None:
                yield position, tap, site


def output_arithmetic(spec: Spec, axis: int) -> str:
    """Return the output size of `axis` as a worked formula, for messages and `lcl explain`."""
    axes = zip(spec.input_size, spec.kernel_size, spec.stride, spec.padding, spec.dilation, strict=True)
    return padding.output_arithmetic(*list(axes)[axis])
