"""What a map of regions must be (SPEC clause 14.10), and errors that show the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lcl_ref.core.axes import spatial_names
from lcl_ref.core.geometry import output_arithmetic
from lcl_ref.core.spec import Spec
from lcl_ref.errors import ShapeError, SpecError, Violation


def whole_numbers(spec: Spec, regions: ArrayLike) -> NDArray[Any]:
    """Return `regions` as an array; `SpecError` if it does not hold whole numbers."""
    try:
        given = np.asarray(regions)
    except ValueError:  # rows of unequal lengths
        given = np.asarray(None)
    if given.dtype.kind not in "iu":
        got, expected = f"{regions!r:.60}", f"whole numbers of shape {spec.output_size}, or a count per axis"
        raise SpecError(Violation("regions/numbers", "regions", got, expected))
    return given


def check_counts(spec: Spec, counts: Sequence[int]) -> None:
    """Refuse counts that are not one per axis, from 1 to its positions."""
    if len(counts) != spec.rank:
        got, expected = f"{len(counts)} counts", f"{spec.rank}, one per axis"
        raise SpecError(Violation("regions/counts", "regions", got, expected))
    problems = _shared(spec)
    for axis, (name, count) in enumerate(zip(spatial_names(spec.rank), counts, strict=True)):
        if not 1 <= count <= spec.output_size[axis]:
            expected = f"1 to {output_arithmetic(spec, axis)}, the positions of the axis"
            problems.append(Violation("regions/counts", "regions", f"{count} regions", expected, f"o{name}"))
    if problems:
        raise SpecError(problems)


def check_map(spec: Spec, given: NDArray[Any]) -> None:
    """Refuse a map that is not one number per position, every one from 0 on at least once."""
    problems = _shared(spec) + _shape(spec, given.shape)
    numbers = np.unique(given)
    missing = next((at for at, number in enumerate(numbers) if at != number), None)
    if missing is not None:
        got = f"{len(numbers)} numbers, {numbers[0]} to {numbers[-1]}, without {missing}"
        problems.append(
            Violation("regions/gaps", "regions", got, f"every number from 0 to {numbers[-1]} at least once")
        )
    if problems:
        raise SpecError(problems)


def _shared(spec: Spec) -> list[Violation]:
    if not any(spec.shared):
        return []
    return [Violation("regions/shared", "spec", f"shared={spec.shared}", "no shared axis beside regions")]


def _shape(spec: Spec, shape: Sequence[int]) -> list[Violation]:
    if len(shape) != spec.rank:
        expected = f"{spec.output_size}, one number per position, or a count per axis"
        return [Violation("regions/axes", "regions", f"shape {tuple(shape)}", expected)]
    problems = []
    for axis, (name, got) in enumerate(zip(spatial_names(spec.rank), shape, strict=True)):
        if got != spec.output_size[axis]:
            expected = f"one per position, {output_arithmetic(spec, axis)}"
            problems.append(Violation("regions/shape", "regions", f"{got} numbers", expected, f"o{name}"))
    return problems


def check_shapes(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, Any]) -> None:
    """Refuse arrays that are not stored once per region."""
    found = {name: tuple(array.shape) for name, array in given.items()}
    if found != expected:
        got, want = f"shapes {found}", f"{dict(expected)}: {expected['kernels'][0]} regions"
        raise ShapeError(Violation("regions/arrays", "parameters", got, want))
