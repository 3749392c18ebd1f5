"""``lcl report``: several machines, several dates."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.progress import Progress

from lcl_ref.cli.console import console, errors, say
from lcl_ref.cli.forms import form_option
from lcl_ref.cli.options import SourceFile, TargetFile, backend_option, data_option, limit_options
from lcl_ref.cli.run import execute
from lcl_ref.errors import LclError, Violation
from lcl_ref.outside.writing import check_target, write_text
from lcl_ref.suite.golden import fixtures, release
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.report import bits
from lcl_ref.suite.report import history as histories
from lcl_ref.suite.report import merge as merging
from lcl_ref.suite.report.checking import missing_cells
from lcl_ref.suite.report.document import write_json
from lcl_ref.suite.report.pages.comparison import comparison_page
from lcl_ref.suite.report.pages.history import history_page
from lcl_ref.suite.report.pages.report import page
from lcl_ref.suite.report.renderings import FORMS
from lcl_ref.suite.report.repeats import cell_of
from lcl_ref.suite.report.statement import in_toto
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.settings import Settings

SHOWN = 10
"""Cells printed per kind of change."""

REPORT = SourceFile()


@click.group()
def report() -> None:
    """Merge, compare and show reports of several machines or dates."""


@report.command()
@click.argument("reports", nargs=-1, required=True, type=REPORT)
@click.option("-o", "--output", type=TargetFile(), required=True, help="The merged report.")
@click.option("--newest", is_flag=True, help="Of what a machine answered in several reports, keep the newest.")
def merge(reports: Sequence[Path], output: Path, newest: bool) -> None:
    """Merge REPORTS into one; the stem of each file's name becomes the label of its machine."""
    check_target(output, read=reports)
    merged = merging.merge(reports, newest)
    write_json(output, merged)
    labels = ", ".join(run["label"] for run in merged["runs"])
    say(f"{output}: {len(merged['outcomes'])} cells of {labels}")


@report.command()
@click.argument("before", type=REPORT)
@click.argument("after", type=REPORT)
@click.option("--all", "everything", is_flag=True, help=f"Print every cell, not the first {SHOWN} of each kind.")
@click.option("--html", "html_file", type=TargetFile(), help="Write a page of both here.")
def diff(before: Path, after: Path, everything: bool, html_file: Path | None) -> int:
    """List what changed from BEFORE to AFTER.

    Exit status: 0 every cell that passed still passes, 1 one does not, 2 wrong input.
    """
    check_target(*filter(None, (html_file,)), read=[before, after])
    found = merging.difference(before, after)
    if html_file:
        write_text(html_file, comparison_page(found))
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
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--html", "html_file", type=TargetFile(), help="Write a page of all here.")
def history(folder: Path, html_file: Path | None) -> None:
    """List the reports in DIR by date, and what changed from each to the next."""
    paths = histories.files(folder)
    check_target(*filter(None, (html_file,)), read=paths)
    with Progress(console=errors(), transient=True) as bar:
        task = bar.add_task("reports", total=len(paths))
        entries = histories.read_folder(folder, lambda: bar.advance(task))
    if html_file:
        write_text(html_file, history_page(entries))
    changes = [None, *histories.steps(entries)]
    for entry, step in zip(entries, changes, strict=True):
        counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in (entry.counts() or {}).items() if n)
        say(f"{entry.date} {entry.label}: {counts}")
        for name, cells in sorted(step.changes.items()) if step else ():
            say(f"  {name}: {len(cells)}, such as {' '.join(cells[0])}")


@report.command()
@click.argument("source", metavar="REPORT", type=REPORT)
@data_option()
def verify(source: Path, data: Path) -> None:
    """Check that REPORT can be what a run wrote: its form, its seal, its cells, its arithmetic.

    Whether its answers are true only asking again can tell (`lcl report audit`), and who wrote it only a signature.
    """
    store, found = fixtures.verify(data), merging.read(source)
    if found["suite"]["fixtures_sha256"] != store.digest:
        got = f"golden data {found['suite']['fixtures_sha256'][:16]}"
        raise LclError(Violation("report/digest", str(source), got, f"{store.digest[:16]} as in {data}"))
    if missing := missing_cells(found, store):
        raise LclError(missing[: merging.SHOWN], f"{source}: no run wrote this")
    say(f"{source}: {len(found['outcomes'])} cells hold together; golden data: {release.name(store)}")


@report.command()
@click.argument("source", metavar="REPORT", type=REPORT)
@backend_option(required=True)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=0.01, show_default=True)
@click.option("--seed", type=click.IntRange(0), help="Which cells.  [default: others every time]")
@limit_options()
@data_option()
def audit(
    source: Path,
    backends: Sequence[str],
    share: float,
    seed: int | None,
    timeout: float,
    start_timeout: float,
    data: Path,
) -> int:
    """Ask a random share of the cells of REPORT again, and compare the verdicts.

    Exit status: 0 all came out the same, 1 one did not, 2 wrong input.
    """
    found, seed = merging.read(source), secrets.randbelow(10**6) if seed is None else seed
    if found["suite"]["fixtures_sha256"] != fixtures.verify(data).digest:
        raise LclError(Violation("report/digest", str(source), "other golden data", f"that of {data}"))
    plan: RunPlan = {}
    before: dict[Cell, str] = {}
    for ref in resolve(list(backends)):
        rows = [row for row in found["outcomes"] if row["backend"] == ref.name]
        if not rows:
            raise LclError(Violation("report/backend", str(source), "no cells", f"cells of {ref.name}"))
        drawn = random.Random(seed).sample(rows, math.ceil(share * len(rows)))  # noqa: S311 -- repeatable, not secret
        before |= {Cell(*cell_of(row)): row["state"] for row in drawn}
        plan[ref] = [cell for cell in before if cell.backend == ref.name]
    _, outcomes = execute(plan, Settings(data, 1, timeout, start_timeout))
    changed = [one for one in outcomes if one.state != before[one.cell]]
    for one in changed:
        say(f"{one.cell.id}: {before[one.cell]} in the report, {one.state} now: {one.message}")
    say(f"{len(outcomes)} cells asked again, {len(changed)} came out otherwise (the same cells: --seed {seed})")
    return 1 if changed else 0


@report.command()
@click.argument("source", metavar="REPORT", type=REPORT)
@click.option("-o", "--output", type=TargetFile(), required=True, help="The statement.")
def statement(source: Path, output: Path) -> None:
    """Write an in-toto statement (test-result/v0.1) about REPORT, to be signed by its tools."""
    check_target(output, read=[source])
    write_json(output, in_toto(source, merging.read(source)))
    say(str(output))


@report.command()
@click.argument("source", metavar="REPORT", type=REPORT)
@click.option("-o", "--output", type=TargetFile(), required=True, help="The page.")
@click.option(
    "--reproducibility", "bits_file", type=REPORT, help="What `lcl reproducibility --json` wrote, to be shown."
)
def html(source: Path, output: Path, bits_file: Path | None) -> None:
    """Write REPORT, single or merged, as one self-contained page."""
    check_target(output, read=[source, *filter(None, (bits_file,))])
    write_text(output, page(merging.read(source), bits.read(bits_file) if bits_file else None))
    say(str(output))


@report.command()
@click.argument("source", metavar="REPORT", type=REPORT)
@form_option(None)
def show(source: Path, form: str) -> None:
    """Print REPORT, single or merged, in the form of another program."""
    say(FORMS[form](merging.read(source)), nl=False)
