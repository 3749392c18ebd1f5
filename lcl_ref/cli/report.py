"""``lcl report``: several machines, several dates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from lcl_ref.cli.console import console, say
from lcl_ref.cli.options import TargetFile
from lcl_ref.outside.writing import write_text
from lcl_ref.suite.report import merge as merging
from lcl_ref.suite.report.document import write_json
from lcl_ref.suite.report.page import page

SHOWN = 10
"""Cells printed per kind of change."""

REPORT = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def report() -> None:
    """Merge, compare and show reports of several machines or dates."""


@report.command()
@click.argument("reports", nargs=-1, required=True, type=REPORT)
@click.option("-o", "--output", type=TargetFile(), required=True, help="The merged report.")
def merge(reports: Sequence[Path], output: Path) -> None:
    """Merge REPORTS into one; the stem of each file's name becomes the label of its machine."""
    merged = merging.merge(reports)
    write_json(output, merged)
    labels = ", ".join(run["label"] for run in merged["runs"])
    say(f"{output}: {len(merged['outcomes'])} cells of {labels}")


@report.command()
@click.argument("before", type=REPORT)
@click.argument("after", type=REPORT)
@click.option("--all", "everything", is_flag=True, help=f"Print every cell, not the first {SHOWN} of each kind.")
def diff(before: Path, after: Path, everything: bool) -> int:
    """List what changed from BEFORE to AFTER.

    Exit status: 0 every cell that passed still passes, 1 one does not, 2 wrong input.
    """
    found = merging.difference(before, after)
    out = console()
    for name, cells in sorted(found.changes.items(), key=lambda change: change[0] not in merging.WORSE):
        out.print(f"[{'red' if name in merging.WORSE else 'green'}]{name}[/]: {len(cells)}")
        for key, _, row in cells if everything else cells[:SHOWN]:
            message = f": {row.get('error_kind') or row['state']}: {row['message']}" if row and row["message"] else ""
            out.print(escape(f"  {' '.join(key)}{message}"), soft_wrap=True)
        if len(cells) > SHOWN and not everything:
            out.print(f"  (+{len(cells) - SHOWN} more)")
    if not found.changes:
        out.print("no cell changed its state")
    return 1 if found.worse else 0


@report.command()
@click.argument("source", metavar="REPORT", type=REPORT)
@click.option("-o", "--output", type=TargetFile(), required=True, help="The page.")
def html(source: Path, output: Path) -> None:
    """Write REPORT, single or merged, as one self-contained page."""
    write_text(output, page(merging.read(source)))
    say(str(output))
