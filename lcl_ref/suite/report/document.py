"""The report document ``lcl-report/1``: who was asked what, on which machine, and what came out."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import lcl_ref
from lcl_ref.outside.writing import write_text
from lcl_ref.suite.golden import release
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import STATES, Outcome
from lcl_ref.suite.report.looked_at import LookedAt
from lcl_ref.suite.run.drawn_cases import existing, is_fresh
from lcl_ref.suite.run.settings import BackendReport

FORMAT = "lcl-report/1"
SEAL = "seal"


def machine() -> dict[str, Any]:
    """Return what identifies the machine and interpreter of a report."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processor": platform.processor(),
        "driver": driver(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def driver() -> str:
    """Return the version line of an NVIDIA driver, or an empty string; Metal comes with the release of the system."""
    try:
        return Path("/proc/driver/nvidia/version").read_text("utf-8").splitlines()[0]
    except (OSError, IndexError):
        return ""


def summary(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count outcomes by state."""
    return count_states(outcome.state for outcome in outcomes)


def count_states(states: Iterable[str]) -> dict[str, int]:
    """Count states; every one is present."""
    counts = Counter(states)
    return {state: counts[state] for state in STATES}


def document(
    backends: Iterable[BackendReport],
    outcomes: Iterable[Outcome],
    store: Store,
    looked: Mapping[str, LookedAt] = MappingProxyType({}),
    asked: Mapping[str, Any] = MappingProxyType({}),
    machines: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the report as JSON-ready values (design section 3).

    `asked` are the words that chose the cells, `machines` those that answered, by name, where these are others.
    """
    listed = list(outcomes)
    suite = {"version": lcl_ref.__version__, "fixtures_sha256": store.digest, "released_sha256": release.digest()}
    report = {
        "format": FORMAT,
        "suite": suite,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "backends": [_backend(backend, looked) for backend in backends],
        "outcomes": [_outcome(outcome) for outcome in listed],
        "summary": summary(listed),
    }
    more = {"asked": dict(asked), "machines": {name: dict(facts) for name, facts in machines.items()}}
    return sealed(report | {name: facts for name, facts in more.items() if facts})


def sealed(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with the digest of everything else in it, which tells one that was edited by hand."""
    return {**report, SEAL: seal_of(report)}


def seal_of(report: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a report without its seal, as JSON with sorted names and no spaces."""
    rest = {name: value for name, value in report.items() if name != SEAL}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _backend(backend: BackendReport, looked: Mapping[str, LookedAt]) -> dict[str, Any]:
    facts = asdict(backend)
    del facts["refused"]  # a run with a refused backend ends before it has a report
    del facts["accumulation"], facts["fresh"]
    if not backend.machine:
        del facts["machine"]
    return facts | (looked[backend.name].to_dict() if backend.name in looked else {})


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome with its layer where that is in no golden data."""
    if not is_fresh(outcome.case):
        return outcome.to_dict()
    case = existing(outcome.case)
    return outcome.to_dict() | {"spec": case.spec.to_dict(), "batch": case.batch}


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document, whole or not at all."""
    write_text(path, as_json(value))


def as_json(value: Any) -> str:
    """Return a JSON document as it is written."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """Return 0 if all that ran conforms, 1 if something does not, 3 if nothing was run."""
    counts = summary(outcomes)
    if counts["fail"] or counts["error"]:
        return 1
    return 0 if counts["pass"] else 3
