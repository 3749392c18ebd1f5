"""The catalogue as it is written: a TOML file per topic, a table per case, whose path and name are the id."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lcl_ref.errors import LclError, Violation

ORDER = "order.toml"
"""The file that says in which order the others come."""


@dataclass(frozen=True)
class Table:
    """A case as it is written.

    Parameters
    ----------
    file : str
        Path of the file below the folder of the catalogue, without its ending: ``2d/padding``.
    name : str
        Name of the table: ``int``.
    values : mapping
        What the table holds.
    """

    file: str
    name: str
    values: Mapping[str, Any]

    @property
    def id(self) -> str:
        """``2d/padding/int``."""
        return f"{self.file}/{self.name}"

    @property
    def family(self) -> str:
        """``2d``."""
        return self.file.split("/")[0]

    @property
    def topic(self) -> str:
        """``padding``."""
        return self.file.split("/")[1]

    @property
    def where(self) -> str:
        """``2d/padding.toml, [int]``."""
        return f"{self.file}.toml, [{self.name}]"


class Key(NamedTuple):
    """What may stand in a table under one key: in words, as a predicate, and whether it must stand there."""

    expected: str
    fits: Callable[[Any], bool]
    required: bool = False


def parsed(path: Path) -> dict[str, Any]:
    """Return what a file of TOML holds.

    Raises
    ------
    LclError
        If it cannot be read, with the line at fault.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LclError(Violation("case/file", f"{path.parent.name}/{path.name}", str(error), "TOML")) from error


def tables(folder: Path) -> list[Table]:
    """Return every table of the files below `folder`, each in the place that the order gives to its id or its file.

    Raises
    ------
    LclError
        If a file cannot be read or holds anything but tables, or if the order leaves it out or names what is not there.
    """
    found = [table for path in sorted(folder.glob("*/*.toml")) for table in _tables_of(path)]
    order = parsed(folder / ORDER)["order"]
    _check_order(found, order)
    place = {name: number for number, name in enumerate(order)}
    return sorted(found, key=lambda table: place.get(table.id, place[table.file]))


def check(table: Table, keys: Mapping[str, Key]) -> None:
    """Refuse a table that lacks a key, has one that means nothing, or has a value that cannot stand under its key.

    Raises
    ------
    LclError
        Naming file, table and key, and what is expected there.
    """
    problems = [
        Violation("case/unknown", name, repr(table.values[name]), f"one of the keys {', '.join(keys)}")
        for name in table.values
        if name not in keys
    ]
    for name, key in keys.items():
        if name in table.values and not key.fits(table.values[name]):
            problems.append(Violation("case/value", name, repr(table.values[name]), key.expected))
        if name not in table.values and key.required:
            problems.append(Violation("case/missing", name, "no such key", key.expected))
    if problems:
        raise LclError(problems, table.where)


def _tables_of(path: Path) -> Iterator[Table]:
    file = f"{path.parent.name}/{path.stem}"
    for name, values in parsed(path).items():
        if not isinstance(values, dict):
            problem = Violation("case/table", name, repr(values), "a table per case, which begins with a line [name]")
            raise LclError(problem, f"{file}.toml")
        yield Table(file, name, values)


def _check_order(found: Sequence[Table], order: Sequence[str]) -> None:
    files = dict.fromkeys(table.file for table in found)
    names = files.keys() | {table.id for table in found}
    lost = [name for name in order if name not in names]
    unlisted = [name for name in files if name not in order]
    problems = [
        Violation("case/order", repr(name), "no such file and no such case", "the name of one") for name in lost
    ]
    problems += [Violation("case/order", f"{name}.toml", "no place", f"{name!r} in its place") for name in unlisted]
    if problems:
        raise LclError(problems, ORDER)
