"""The catalogue of public bugs, ``bugs.toml``: a table per bug, called by the repository and the number of its thread.

A layer with a bug is the reference wherever the bug has no effect. Where `Bug.when`, `Bug.laid` and `Bug.after` hold,
all that are given, it makes one mistake: `deviates`, `where` and `holds`, `reads`, `writes` or `sums`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.adapter import OPERATIONS, Result

FILE = Path(__file__).parent / "bugs.toml"

KINDS = {
    "setting": "a combination of settings",
    "size": "a size",
    "format": "a number format",
    "value": "a kind of number",
    "memory": "how operands lie in memory",
    "state": "earlier calls, or calls at the same time",
}
"""Kind of a bug -> what it depends on in the first place."""

ROOT = "https://github.com"


@dataclass(frozen=True, kw_only=True)
class Bug:
    """One public bug.

    Parameters
    ----------
    id : str
        ``owner/name#number``: where it was reported or mended.
    title : str
        Title of that thread.
    wrong : str
        What was wrong, and where, in one sentence without a stop.
    kind : str
        One of `KINDS`.
    results : tuple of str
        The results that were wrong; ``dx`` is what `transpose` returns too.
    when : tuple of str
        Conditions on layer, batch and format (`triggers`).
    laid, of : str, tuple of str
        How one of these operands has to lie in memory (`memory`).
    after : str
        What has to have happened before (`states`).
    deviates : str
        The mistake is a deviation of the catalogue.
    where, holds : str
        The mistake is that part of a result holds something else (`spoiling`).
    reads : str
        The mistake is that operands `of` are read as something else: ``storage`` or ``kept``.
    writes : str
        The mistake is that this operand is written to.
    sums : str
        The mistake is that sums are kept in parts that are rounded to this format.
    as_layer : str
        How the bug is carried over to an unshared layer, where more changes than the sharing.
    miss : str
        Why no case sees it.
    """

    id: str
    title: str
    wrong: str
    kind: str
    results: tuple[Result, ...]
    when: tuple[str, ...] = ()
    laid: str = ""
    of: tuple[str, ...] = ()
    after: str = ""
    deviates: str = ""
    where: str = ""
    holds: str = ""
    reads: str = ""
    writes: str = ""
    sums: str = ""
    as_layer: str = ""
    miss: str = ""

    @property
    def link(self) -> str:
        """The address of its thread."""
        repository, _, number = self.id.partition("#")
        return f"{ROOT}/{repository}/issues/{number}"

    @property
    def ops(self) -> tuple[str, ...]:
        """Operations whose answers are wrong."""
        return tuple(op for op, operation in OPERATIONS.items() if set(operation.results) & set(self.results))


@cache
def bugs() -> tuple[Bug, ...]:
    """Return the catalogue.

    Raises
    ------
    LclError
        If a table has a key that is none, or lacks one.
    """
    return tuple(_bug(name, table) for name, table in tomllib.loads(FILE.read_text("utf-8")).items())


def _bug(name: str, table: dict[str, Any]) -> Bug:
    known = {field.name for field in fields(Bug)} - {"id"}
    unknown = sorted(table.keys() - known)
    mistakes = [key for key in ("deviates", "where", "reads", "writes", "sums") if key in table]
    if unknown or len(mistakes) != 1 or ("where" in table) != ("holds" in table) or table.get("kind") not in KINDS:
        got = f"unknown keys {unknown}, mistakes {mistakes}, kind {table.get('kind')!r}"
        raise LclError(Violation("history/bug", name, got, "a bug with one mistake and a known kind"), FILE.name)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Bug(id=name, **values)
