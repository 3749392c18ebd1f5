"""Classes of reproducibility: which answers have the same bits where a backend is in one, and the witness if not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

Key = tuple[str, str, str]
"""Case, operation, result."""

Answers = Mapping[str, Mapping[Key, Array]]
"""Circumstance -> answers."""

CLASSES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "run to run": ("the same call again, and in another process", ("again", "second process")),
    "alone": ("each sample alone (y and dx)", ("alone",)),
    "order": ("the samples in another order (y and dx)", ("backwards",)),
    "threads": ("on every core in the place of one", ("every core",)),
    "memory": ("x and dy in Fortran order, and with channels first in memory", ("fortran", "transposed")),
}
"""Class -> what is changed, and the circumstances that are compared with the plain answers."""


@dataclass(frozen=True)
class Witness:
    """Two answers to one question that differ.

    Parameters
    ----------
    circumstance, case, dtype, op, result : str
        What was asked.
    position : tuple of int
        Index of an element that differs.
    plain, other : float
        The two numbers.
    differing, of : int
        How many elements of the result differ.
    """

    circumstance: str
    case: str
    dtype: str
    op: str
    result: str
    position: tuple[int, ...]
    plain: float
    other: float
    differing: int
    of: int

    def __str__(self) -> str:
        where = ", ".join(map(str, self.position))
        return (
            f"{self.circumstance}: {self.case} {self.op} {self.dtype}, {self.result}[{where}]: "
            f"{self.plain!r} and {self.other!r} ({self.differing} of {self.of} elements)"
        )


@dataclass(frozen=True)
class Measured:
    """What was measured of a backend.

    Parameters
    ----------
    backend : str
        Its name.
    answered : int
        Results that were compared.
    classes : mapping of str to Witness or None
        Class -> the first witness against it, or None where every bit agreed; without entry where nothing was compared.
    agreement : mapping of str to (int, int)
        Other backend -> how many results have the same bits, of how many that both gave.
    message : str
        Why nothing was measured, or empty.
    """

    backend: str
    answered: int
    classes: Mapping[str, Witness | None]
    agreement: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    message: str = ""

    @property
    def same_as(self) -> list[str]:
        """Backends that gave the same bits in every result that both gave."""
        return [other for other, (same, both) in self.agreement.items() if same == both]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        found = {name: {"same_bits": one is None, "witness": one and asdict(one)} for name, one in self.classes.items()}
        return {
            "backend": self.backend,
            "answered": self.answered,
            "classes": found,
            "same_as": self.same_as,
            "agreement": {other: list(counts) for other, counts in self.agreement.items()},
            "message": self.message,
        }


def measured(backend: str, dtype: str, answers: Answers) -> Measured:
    """Return the classes of a backend by its answers; they hold ``plain`` ones."""
    plain, classes = answers.get("plain", {}), dict[str, Witness | None]()
    for name, (_, circumstances) in CLASSES.items():
        found = [list(_compared(plain, answers.get(one, {}), one, dtype)) for one in circumstances]
        if any(found):
            classes[name] = next((one for each in found for one in each if one is not None), None)
    return Measured(backend, len(plain), classes)


def _compared(
    plain: Mapping[Key, Array], other: Mapping[Key, Array], circumstance: str, dtype: str
) -> Iterator[Witness | None]:
    """Yield what was found in every result that is in both."""
    for key in (key for key in plain if key in other):
        yield _witness(plain[key], other[key], circumstance, dtype, key)


def _witness(plain: Array, other: Array, circumstance: str, dtype: str, key: Key) -> Witness | None:
    if plain.shape == other.shape and plain.tobytes() == other.tobytes():
        return None
    if plain.shape != other.shape:
        raise ValueError(f"{key}: shapes {plain.shape} and {other.shape}")
    bits = f"u{plain.dtype.itemsize}"
    differs = np.ascontiguousarray(plain).view(bits) != np.ascontiguousarray(other).view(bits)
    at = tuple(int(one) for one in np.unravel_index(int(np.argmax(differs)), differs.shape))
    case, op, result = key
    numbers = float(plain[at]), float(other[at])
    return Witness(circumstance, case, dtype, op, result, at, *numbers, int(differs.sum()), differs.size)


def agreement(all_answers: Mapping[str, Mapping[Key, Array]]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return, by backend and other backend, how many plain answers have the same bits, of how many that both gave."""
    bits = {name: {key: array.tobytes() for key, array in plain.items()} for name, plain in all_answers.items()}

    def counted(one: str, other: str) -> tuple[int, int]:
        both = [key for key in bits[one] if key in bits[other]]
        return sum(bits[one][key] == bits[other][key] for key in both), len(both)

    counts = {one: {other: counted(one, other) for other in bits if other != one} for one in bits}
    return {one: {other: pair for other, pair in found.items() if pair[1]} for one, found in counts.items()}
