"""The reports of a folder by date: what became of each backend, and what changed from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.report.document import count_states
from lcl_ref.suite.report.merge import Document, change_of, read
from lcl_ref.suite.run.drawn_cases import is_fresh

Cell = tuple[str, str, str, str]


@dataclass(frozen=True)
class Entry:
    """One report of a history.

    Parameters
    ----------
    label : str
        The stem of its file.
    date : str
        When its first run was.
    digest : str
        Of the golden data it asked about.
    versions : mapping of str to str
        Backend -> framework and version.
    states : mapping
        Backend, case, operation and dtype -> state.
    """

    label: str
    date: str
    digest: str
    versions: Mapping[str, str]
    states: Mapping[Cell, str]

    def counts(self, backend: str | None = None) -> dict[str, int] | None:
        """Return the cells by state, of all backends or of one; None where it has none."""
        mine = [state for cell, state in self.states.items() if backend in (None, cell[0])]
        return count_states(mine) if mine else None


@dataclass(frozen=True)
class Step:
    """What changed from one report to the next.

    Parameters
    ----------
    before, after : Entry
        The two.
    changes : mapping of str to list of Cell
        Name of a change -> the cells.
    """

    before: Entry
    after: Entry
    changes: Mapping[str, Sequence[Cell]]

    @property
    def same_data(self) -> bool:
        """Whether both asked about the same golden data."""
        return self.before.digest == self.after.digest


def read_folder(folder: Path, progress: Callable[[], object] = lambda: None) -> list[Entry]:
    """Read all reports of a folder, oldest first; `progress` is called after each.

    Raises
    ------
    LclError
        If there is none, or a JSON file in it is no report.
    """
    entries = []
    for path in files(folder):
        entries.append(_entry(path.stem, read(path)))
        progress()
    return sorted(entries, key=lambda entry: entry.date)


def files(folder: Path) -> list[Path]:
    """Return the files that may be reports.

    Raises
    ------
    LclError
        If there is none.
    """
    found = sorted(path for path in folder.glob("*.json") if path.is_file())
    if not found:
        raise LclError(Violation("report/history", str(folder), "no JSON file", "reports that `lcl run --json` wrote"))
    return found


def _entry(label: str, document: Document) -> Entry:
    several = len(document["runs"]) > 1
    names = {
        (one["run"], one["name"]): f"{one['name']} on {one['run']}" if several else one["name"]
        for one in document["backends"]
    }
    return Entry(
        label,
        min(run["date"] for run in document["runs"]),
        document["suite"]["fixtures_sha256"],
        {names[one["run"], one["name"]]: f"{one['framework']} {one['version']}" for one in document["backends"]},
        {
            (names[row["run"], row["backend"]], row["case"], row["op"], row["dtype"]): row["state"]
            for row in document["outcomes"]
        },
    )


def steps(entries: Sequence[Entry]) -> Iterator[Step]:
    """Yield what changed from each report to the next; fresh cases are others in every run and do not count."""
    for before, after in pairwise(entries):
        changes: dict[str, list[Cell]] = {}
        for cell in {**after.states, **before.states}:
            was, now = before.states.get(cell, "absent"), after.states.get(cell, "absent")
            name = "" if is_fresh(cell[1]) else change_of(cell[1], was, now)
            if name:
                changes.setdefault(name, []).append(cell)
        yield Step(before, after, changes)
