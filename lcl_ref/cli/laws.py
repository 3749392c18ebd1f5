"""``lcl laws``: which systems compute the same, and what was measured of it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import click
from rich.markup import escape

from lcl_ref.cli.console import Rows, console, say, working
from lcl_ref.cli.options import json_option
from lcl_ref.errors import LclError, Violation
from lcl_ref.suite.identities.catalogue import LAWS
from lcl_ref.suite.identities.identity import IdentityResult, Law, system, verify
from lcl_ref.suite.run.registry import installed

MEASURED = (("float32", "integers"), ("float32", "reals"), ("float64", "reals"))


@click.command()
@click.option("-l", "--law", "globs", multiple=True, metavar="GLOB", help="Only laws whose id matches.")
@json_option()
def laws(globs: Sequence[str], as_json: bool) -> int:
    """Verify the laws between systems: bitwise on integers, within proved limits on reals.

    Compared are y and the gradients of x, weight and bias, taken through the map between the two layouts.
    """
    rows = []
    with working("computing") as status:
        for law in _select(globs):
            status.update(f"computing {law.id}")
            rows += [_row(law, dtype, kind) for dtype, kind in MEASURED]
    if as_json:
        say(json.dumps(rows, indent=1))
    else:
        _print(rows)
    return 0 if all(row["ok"] is not False for row in rows) else 1


def _select(globs: Sequence[str]) -> list[Law]:
    unknown = [glob for glob in globs if not any(fnmatchcase(law.id, glob) for law in LAWS)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [law.id for law in LAWS], 3, 0.4)
        expected = "an id or glob that `lcl laws` lists" + (f", such as {', '.join(near)}" if near else "")
        raise LclError(Violation("law/unknown", "law", repr(unknown[0]), expected))
    return [law for law in LAWS if not globs or any(fnmatchcase(law.id, glob) for glob in globs)]


def _row(law: Law, dtype: str, kind: str) -> dict[str, Any]:
    """Return one measurement as JSON-ready values; `ok` is None where it cannot be made."""
    facts: dict[str, Any] = {
        "law": law.id,
        "says": law.says,
        "left": law.left,
        "right": law.right,
        "dtype": dtype,
        "values": kind,
    }
    missing = [name for name in (law.left, law.right) if not installed(system(name).declaration)]
    if missing:
        reason = f"{' and '.join(missing)} not installed"
        return facts | {"ok": None, "differences": {}, "share": None, "reason": reason}
    result: IdentityResult = verify(law, dtype, kind)
    share = result.share if result.ok or kind == "reals" else None
    return facts | {"ok": result.ok, "differences": dict(result.differences), "share": share}


def _print(rows: list[dict[str, Any]]) -> None:
    say("Largest difference of y and all gradients, and its share of twice the proved limit")
    numbers = tuple(f"{dtype}, {kind}" for dtype, kind in MEASURED)
    table = Rows("law", *numbers, "says", right=numbers)
    for first in range(0, len(rows), len(MEASURED)):
        same = rows[first : first + len(MEASURED)]
        head = same[0]
        says = f"{head['left']} = {head['right']}: {head['says']}"
        table.add_row(escape(head["law"]), *map(_words, same), escape(says))
    console().print(table)


def _words(row: dict[str, Any]) -> str:
    if row["ok"] is None:
        return str(row["reason"])
    largest = max(row["differences"].values())
    if row["values"] == "integers":
        return "bitwise" if row["ok"] else f"[red]differs by {largest:g}"
    words = f"{largest:.1e} ({row['share']:.2g})"
    return words if row["ok"] else f"[red]{words}"
