"""How a run is made, and what is known of a backend once its worker loaded it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lcl_ref.errors import AdapterError, Violation
from lcl_ref.outside.text import shown
from lcl_ref.suite.judge.outcome import ErrorKind
from lcl_ref.suite.run.cells import asked_dtypes
from lcl_ref.suite.run.drawn_cases import Fresh
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.process import TimedOut, Worker, WorkerExited

LOAD_SECONDS = 180.0
"""How long a backend may take to import its framework."""

LOSSES: tuple[ErrorKind, ...] = ("crash", "timeout")
"""How a process is lost."""

WATCHDOG_MARGIN_SECONDS = 10.0
"""A worker that watches over a program reports its timeouts itself; so much later it is a timeout of the worker."""


@dataclass(frozen=True)
class Settings:
    """How a matrix is run.

    Parameters
    ----------
    data : Path
        Folder of the golden data.
    jobs : int
        Workers at a time, in all runs that go on side by side.
    timeout, start_timeout : float
        Seconds a cell may take, and a backend to load.
    runs : int
        How many runs share the machine.
    answers : Path or None
        Folder in which the answers of each backend are kept for a diagnosis.
    seed : int
        For what checks draw.
    fresh : Fresh or None
        Which fresh cases are asked besides; without dtypes, those of `asked_dtypes`.
    """

    data: Path
    jobs: int
    timeout: float
    start_timeout: float = LOAD_SECONDS
    runs: int = 1
    answers: Path | None = None
    seed: int = 0
    fresh: Fresh | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Seconds a program may take, as the fields of `lcl_ref.suite.exec.adapter.Limits`."""
        return {"start": self.start_timeout, "case": self.timeout}

    def answers_of(self, ref: BackendRef) -> str | None:
        """Return the file that keeps what a backend answers."""
        return str(self.answers / hashlib.sha256(ref.name.encode()).hexdigest()) if self.answers else None

    def fresh_of(self, ref: BackendRef) -> Fresh | None:
        """Return which fresh cases a backend is asked."""
        return self.fresh and replace(self.fresh, dtypes=asked_dtypes(ref, self.fresh.dtypes))


@dataclass(frozen=True)
class BackendReport:
    """What is known of a backend after its worker loaded it.

    Parameters
    ----------
    name : str
        As in `BackendRef`.
    availability : str
        ``present``, ``missing``, ``broken``, or ``refused`` (it is no layer; the input was wrong).
    framework, version : str
        The framework's distribution, or empty.
    message : str
        Why it is not present.
    refused : tuple of Violation
        Where it is refused: the facts.
    error_kind : str
        Where it is broken: the kind of error that each of its cells gets.
    accumulation : mapping of str to str
        The formats that it declares to keep sums in (`Capabilities.accumulation`).
    fresh : int or None
        Cells of fresh cases that it is asked; None where none were to be drawn.
    machine : str
        Name of the machine that answered for it, where that is another.
    """

    name: str
    availability: str = "present"
    framework: str = ""
    version: str = ""
    message: str = ""
    refused: tuple[Violation, ...] = ()
    error_kind: ErrorKind = "exception"
    accumulation: Mapping[str, str] = field(default_factory=dict)
    fresh: int | None = None
    machine: str = ""

    def __post_init__(self) -> None:
        for field_name in ("framework", "version", "message"):  # others wrote them
            object.__setattr__(self, field_name, shown(getattr(self, field_name)))


def wait_until_loaded(worker: Worker, settings: Settings) -> BackendReport:
    """Wait until a worker has loaded its backend."""
    name, seconds = worker.ref.name, settings.start_timeout
    try:
        message = worker.next_message(seconds + WATCHDOG_MARGIN_SECONDS if worker.ref.kind == "exec" else seconds)
    except TimedOut:
        return BackendReport(name, "broken", message=f"did not load within {seconds:g} s", error_kind="timeout")
    except WorkerExited as end:
        text = f"the process was {end} while loading it"
        return BackendReport(name, "broken", message=text, error_kind=end.kind)
    if message["event"] == "loaded":
        facts = (message["framework"], message["version"])
        return BackendReport(name, "present", *facts, accumulation=message["accumulation"])
    if message["event"] not in ("missing", "broken", "refused"):
        text = f"its process sent {message['event']!r} in place of what it loaded"
        return BackendReport(name, "broken", message=text, error_kind="malformed")
    refused = tuple(Violation(**facts) for facts in message.get("violations", ()))
    kind = message.get("error_kind", "exception")
    return BackendReport(name, message["event"], message=message["message"], refused=refused, error_kind=kind)


def require_present(report: BackendReport) -> None:
    """Refuse a backend that cannot be asked.

    Raises
    ------
    AdapterError
        If it is no layer, is missing, or is broken.
    """
    if report.availability != "present":
        text = f"{report.name}: {report.message}" if report.error_kind in LOSSES else report.message
        raise AdapterError(report.refused or Violation("backend/load", "backend", text, "a layer that loads"))
