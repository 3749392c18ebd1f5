"""What the suite says about one cell of the matrix: (backend, case, operation, dtype)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lcl_ref.outside.text import shown

State = Literal["pass", "fail", "error", "unsupported", "not_run"]
STATES: tuple[State, ...] = ("pass", "fail", "error", "unsupported", "not_run")
ErrorKind = Literal["exception", "crash", "timeout", "malformed"]

MAX_LOSSES = 3
"""After so many crashes or timeouts in a row the rest of a backend is not run."""

GIVEN_UP = f"given up: {MAX_LOSSES} cells in a row were lost"


class Fault(Exception):  # noqa: N818 -- a finding about a layer, not an error of ours
    """No usable answer, from a backend that can tell what kind of failure it was."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class NotRun(Exception):  # noqa: N818 -- see Fault
    """The question was not asked; the text says why."""


@dataclass(frozen=True)
class Cell:
    """One question to one backend: an operation of a case in a dtype."""

    backend: str
    case: str
    op: str
    dtype: str

    @property
    def id(self) -> str:
        """``backend-case-op-dtype``, the id of its pytest test."""
        return f"{self.backend}-{self.case}-{self.op}-{self.dtype}"


@dataclass(frozen=True)
class Outcome:
    """The answer to one `Cell`.

    Parameters
    ----------
    backend, case, op, dtype : str
        The cell.
    state : str
        ``pass``, ``fail`` (a wrong number), ``error`` (no usable answer), ``unsupported`` (declared), ``not_run``.
    error_ratio : float or None
        Largest error divided by its proved limit, over the results of the operation.
    seconds : float
        Time the backend took for this cell.
    message : str
        What was wrong, why it is unsupported, or a warning on a pass.
    error_kind : str or None
        For ``error``: ``exception``, ``crash``, ``timeout`` or ``malformed``.
    diagnosis : str or None
        Name of the deviation that explains a failure, where one was looked for.
    """

    backend: str
    case: str
    op: str
    dtype: str
    state: State
    error_ratio: float | None = None
    seconds: float = 0.0
    message: str = ""
    error_kind: ErrorKind | None = None
    diagnosis: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shown(self.message))  # much of it is a layer's or program's
        if self.error_ratio is not None and not math.isfinite(self.error_ratio):  # JSON has no such number
            object.__setattr__(self, "error_ratio", None)

    @property
    def cell(self) -> Cell:
        """The cell this answers."""
        return Cell(self.backend, self.case, self.op, self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON-ready values."""
        return asdict(self)


def outcome(cell: Cell, state: State, **facts: Any) -> Outcome:
    """Return the `Outcome` of a cell."""
    return Outcome(cell.backend, cell.case, cell.op, cell.dtype, state, **facts)
