"""Two runs of ``lcl bench`` compared, by ratios measured inside one run each: the seconds of two days would differ."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcl_ref.errors import LclError, Violation
from lcl_ref.outside import documents

FORMAT = "lcl-bench/1"
"""Of the documents that ``lcl bench --json`` writes."""


@dataclass(frozen=True)
class Change:
    """A backend in one operation at one layer, then and now, as multiples of the limit or of the control."""

    backend: str
    workload: str
    op: str
    old: float
    new: float

    @property
    def factor(self) -> float:
        """How many times as long it takes now."""
        return self.new / self.old


def read(path: Path) -> dict[str, Any]:
    """Return a document of ``lcl bench --json``.

    Raises
    ------
    LclError
        If the file is none.
    """
    try:
        found = documents.read(path)
    except (OSError, ValueError) as error:
        raise LclError(Violation("bench/against", str(path), str(error), "what lcl bench --json writes")) from error
    said = found.get("format") if isinstance(found, dict) else type(found).__name__
    if said != FORMAT:
        raise LclError(Violation("bench/against", str(path), f"format {said!r}", f"{FORMAT!r}, of lcl bench --json"))
    return dict(found)


def changes(new: Mapping[str, Any], old: Mapping[str, Any], control: str | None = None) -> list[Change]:
    """Return what both documents have measured, the largest growth first.

    Parameters
    ----------
    new, old : mapping
        Documents of ``lcl bench --json``.
    control : str, optional
        The backend whose times of the same rounds are the measure; without it, the limit of the same rounds is.

    Raises
    ------
    LclError
        If they were measured with different threads or clocks, or have nothing in common.
    """
    for setting in ("threads", "clock"):
        now, then = (document["machine"][setting] for document in (new, old))
        if now != then:
            raise LclError([Violation("bench/against", setting, str(now), f"{then}, as in the run to compare with")])
    before, after = (_ratios(document["measurements"], control) for document in (old, new))
    found = [Change(*key, before[key], after[key]) for key in after if key in before]
    if not found:
        expected = "a backend and a layer that both runs have measured" + (f", and {control}" if control else "")
        raise LclError([Violation("bench/against", "measurements", "none in common", expected)])
    return sorted(found, key=lambda change: -change.factor)


def _ratios(measurements: Sequence[Mapping[str, Any]], control: str | None) -> dict[tuple[str, str, str], float]:
    """Return (backend, workload, operation) -> median ratio over the rounds."""
    controls = {
        (m["workload"], m["factor"], op): times
        for m in measurements
        if m["backend"] == control
        for op, times, _ in _times(m)
    }
    found = {}
    for each in measurements:
        for op, times, limits in _times(each):
            others = limits if control is None else controls.get((each["workload"], each["factor"], op), ())
            pairs = list(zip(times, others, strict=False))
            if pairs and each["backend"] != control:
                layer = f"{each['workload']} x {each['factor']}" if each["factor"] else each["workload"]
                found[each["backend"], layer, op] = statistics.median(mine / other for mine, other in pairs)
    return found


def _times(measurement: Mapping[str, Any]) -> Iterator[tuple[str, list[float], list[float]]]:
    """Yield operation, its seconds and its limits, warm and cold."""
    for kind, suffix in (("seconds", ""), ("cold", " cold")):
        for op, times in measurement.get(kind, {}).items():
            yield op + suffix, times, measurement["limits"].get(op, [])
