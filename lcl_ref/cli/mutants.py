"""``lcl mutants``: the kill matrix, every deliberate mistake against every case."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from lcl_ref.cli.console import console, errors
from lcl_ref.cli.options import TargetFile, case_option, data_option
from lcl_ref.outside.writing import write_text
from lcl_ref.suite.cases.catalogue import select
from lcl_ref.suite.diagnosis import not_seen
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.report import document
from lcl_ref.suite.validation import families
from lcl_ref.suite.validation.coverage import TRIPLES, coverage
from lcl_ref.suite.validation.gates import Gate, gates
from lcl_ref.suite.validation.history import catalogue, recall
from lcl_ref.suite.validation.mutants import PROMISED, KillMatrix, broken_promises, idle_cases, kill_matrix
from lcl_ref.suite.validation.mutants_page import page


@click.command()
@case_option()
@click.option("--json", "json_file", type=TargetFile(), help="Write the matrix here.")
@click.option("--html", "html_file", type=TargetFile(), help="Write a picture here.")
@click.option("--table", "table_file", type=TargetFile(), help="Write which case kills what here.")
@click.option("--history", "history_file", type=TargetFile(), help="Write what sees which public bug here.")
@data_option()
def mutants(
    cases: Sequence[str],
    json_file: Path | None,
    html_file: Path | None,
    table_file: Path | None,
    history_file: Path | None,
    data: Path,
) -> int:
    """Hold every known mistake against every case, and say which case sees it, in the catalogue and in each family.

    Exit status: 0 the cases see every mistake as often as promised, 1 they do not, 2 wrong input.
    """
    store, chosen = fixtures.verify(data), select(list(cases))
    progress = errors()
    with Progress(console=progress, transient=True, disable=not progress.is_terminal) as bar:
        task = bar.add_task("cases", total=len(chosen))
        matrix = kill_matrix(store, chosen, progress=lambda: bar.advance(task))
    out = console()
    out.print(_table(matrix))
    idle = [case.id for case in idle_cases(matrix)]
    if idle:
        out.print(f"[yellow]{len(idle)} cases kill nothing:[/] {escape(', '.join(idle))}")
    bugs = [] if cases else [recall.seen(store, bug) for bug in catalogue.bugs()]
    triples = coverage(store.entries.values(), TRIPLES)
    counted = [] if cases else gates(store, families.seen(matrix), triples, bugs)
    if json_file:
        document.write_json(json_file, matrix.to_dict() | {"gates": [gate.to_dict() for gate in counted]})
    if html_file:
        write_text(html_file, page(matrix))
    kills = not_seen.table([case.id for case in matrix.cases], matrix.killers_by_op)
    if table_file:
        write_text(table_file, json.dumps(kills, indent=0) + "\n")
    if history_file and bugs:
        write_text(history_file, json.dumps(recall.table(bugs), indent=0) + "\n")
    if cases:
        return 0
    out.print(_gates(counted))
    short = [*broken_promises(matrix), *(f"{gate.name}: {item}" for gate in counted for item in gate.missing)]
    if recall.stored() != bugs:
        short.append(f"{recall.FILE.name} is another table: lcl mutants --history {recall.FILE}")
    if json.loads(not_seen.FILE.read_text("utf-8")) != kills:
        short.append(f"{not_seen.FILE.name} is another table: lcl mutants --table {not_seen.FILE}")
    for line in short:
        out.print(f"[red]{escape(line)}[/]")
    return 1 if short else 0


def _gates(counted: Sequence[Gate]) -> Table:
    table = Table(title="what cases and checks promise besides", title_justify="left")
    table.add_column("gate", no_wrap=True)
    table.add_column("held", justify="right", no_wrap=True)
    table.add_column("of", justify="right", no_wrap=True)
    table.add_column("what is counted")
    for gate in counted:
        colour = "red" if gate.missing else "green"
        table.add_row(gate.name, f"[{colour}]{gate.held}[/]", str(gate.of), gate.counts)
    return table


def _table(matrix: KillMatrix) -> Table:
    table = Table(
        title=f"{len(matrix.deviations)} deviations against {len(matrix.cases)} cases: cases that kill it, in which it "
        "makes no difference (proved), and that do not show it",
        title_justify="left",
    )
    table.add_column("deviation", no_wrap=True)
    for name in ("killed by", "no difference", "not shown"):
        table.add_column(name, justify="right")
    table.add_column("what such a layer does")
    for deviation in matrix.deviations:
        killers = len(matrix.killers[deviation.id])
        same = matrix.count(deviation.id, "identical") + matrix.count(deviation.id, "equivalent")
        colour = "green" if killers >= PROMISED["core"] else "red"
        blind = str(matrix.count(deviation.id, "blind") or "")
        words = escape(deviation.sentence)
        table.add_row(escape(deviation.id), f"[{colour}]{killers}[/]", str(same or ""), blind, words)
    return table
