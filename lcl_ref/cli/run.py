"""``lcl run``: the conformance matrix."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from lcl_ref.cli.console import Console, console, errors, say, working
from lcl_ref.cli.following import follow
from lcl_ref.cli.forms import form_option
from lcl_ref.cli.fresh import fresh_options
from lcl_ref.cli.ladder import run_ladder
from lcl_ref.cli.machines import Asked, Where, run_on_machines, where_options
from lcl_ref.cli.options import (
    OfLayers,
    TargetFile,
    backend_option,
    case_option,
    data_option,
    limit_options,
    tier_option,
)
from lcl_ref.cli.told import Ran, Told, print_run, told_options
from lcl_ref.errors import AdapterError
from lcl_ref.outside import scratch
from lcl_ref.outside.writing import check_target, write_texts
from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.diagnosis.annotate import name_mistakes
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.golden import fixtures, release
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report import document
from lcl_ref.suite.report.looked_at import looked_at
from lcl_ref.suite.report.pages.report import page
from lcl_ref.suite.report.renderings import FORMS
from lcl_ref.suite.run.cells import RunPlan, matches
from lcl_ref.suite.run.drawn_cases import new_seed
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.planning import fresh_cases, planned
from lcl_ref.suite.run.settings import BackendReport, Settings


@click.command(cls=OfLayers)
@backend_option()
@case_option()
@tier_option(None, "core for all backends together, full for named backends or cases")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(ALL_DTYPES), help="Only these dtypes.")
@click.option("--op", "ops", multiple=True, type=click.Choice(OPS), help="Only these operations.")
@click.option(
    "--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default="cores", help="Workers at a time."
)
@limit_options()
@click.option("--require", multiple=True, metavar="NAME", help="Backend or framework that must be present.")
@click.option("--json", "json_file", type=TargetFile(), help="Write the report here.")
@click.option("--html", "html_file", type=TargetFile(), help="Write a page here.")
@form_option("table")
@told_options()
@click.option("--diagnose/--no-diagnose", "naming", default=True, help="Name the mistake of wrong backends.")
@fresh_options()
@click.option(
    "--min-cells", type=click.IntRange(0), default=0, help="Fail where a backend is asked fewer cells, checks aside."
)
@where_options()
@data_option()
def run(
    backends: Sequence[str],
    cases: Sequence[str],
    tier: str | None,
    dtypes: Sequence[str],
    ops: Sequence[str],
    jobs: int,
    timeout: float,
    start_timeout: float,
    require: Sequence[str],
    json_file: Path | None,
    html_file: Path | None,
    form: str,
    told: Told,
    naming: bool,
    seed: int | None,
    fresh: int | None,
    min_cells: int,
    where: Where,
    data: Path,
) -> int:
    """Run layers against the golden data, and on fresh cases: a verdict and an error figure for every cell.

    Exit status: 0 all conform, 1 something does not, 2 wrong input, 3 nothing was run.
    """
    if where.address and told.ladder:
        raise click.UsageError("a ladder is climbed on this machine: leave out --dask or --ladder")
    refs = resolve(list(backends))
    check_target(*filter(None, (json_file, html_file)), read=[file for ref in refs for file in ref.files])
    store, tier = announced(data), tier or ("full" if backends or cases else "core")
    seed = new_seed() if seed is None else seed
    plan = planned(refs, store, cases, dtypes, ops, tier, checks=not told.ladder)
    out = console() if form == "table" else errors()
    drawn = None if told.ladder else fresh_cases(seed, fresh, tier, cases, dtypes, ops)
    with scratch.folder() as folder:
        answers = folder if naming else None
        settings = Settings(data, jobs, timeout, start_timeout, answers=answers, seed=seed, fresh=drawn)
        found = _asked(out, plan, settings, told, where)
    reports, outcomes, diagnoses = found.reports, found.outcomes, found.diagnoses
    looked = looked_at(reports, outcomes, store, naming=not (cases or dtypes or ops))
    asked = {"tier": tier, "cases": list(cases), "dtypes": list(dtypes), "ops": list(ops), "ladder": told.ladder}
    report = document.document(reports, outcomes, store, looked, asked, found.machines)
    _write(json_file, html_file, report)
    if form in FORMS:
        say(FORMS[form](report), nl=False)
    print_run(
        out, Ran(reports, outcomes, diagnoses, list(looked.values()) if not cases else [], store, drawn, seed), told
    )
    missing = _missing(require, reports)
    for name in missing:
        out.print(f"[red]required, but not present: {name}[/]")
    few = [one for one in looked.values() if one.cells + one.fresh < min_cells]
    for one in few:
        out.print(f"[red]{escape(one.backend)}: asked {one.cells + one.fresh} cells, --min-cells {min_cells}[/]")
    return 1 if missing or few else document.exit_status(outcomes)


def announced(data: Path) -> Store:
    """Return the golden data, verified; say so where it is not the release's."""
    store = fixtures.verify(data)
    if strange := release.warning(store):
        say(f"lcl: {strange}", err=True)
    return store


def _write(json_file: Path | None, html_file: Path | None, report: Mapping[str, Any]) -> None:
    """Write the report and its page, both or none, before anything is printed, which may fail."""
    texts = {json_file: document.as_json(report)} if json_file else {}
    texts |= {html_file: page(report)} if html_file else {}
    if texts:
        write_texts(texts)


def execute(plan: RunPlan, settings: Settings, verbose: bool = False) -> tuple[list[BackendReport], list[Outcome]]:
    """Run a plan on this machine with a progress bar; return what `follow` does."""
    return follow(MatrixRun(plan, settings), plan, verbose)


def _asked(out: Console, plan: RunPlan, settings: Settings, told: Told, where: Where) -> Asked:
    """Run a plan, here or elsewhere, and name the mistakes where answers were kept."""
    if where.address:
        asked = run_on_machines(plan, settings, where, told.verbose)
        refuse_what_is_no_layer(asked.reports)
        return asked
    reports, outcomes = run_ladder(out, plan, settings) if told.ladder else execute(plan, settings, told.verbose)
    refuse_what_is_no_layer(reports)
    if settings.answers is None:
        return Asked(reports, outcomes, {})
    with working("naming the mistakes"):
        return Asked(reports, *name_mistakes(plan, outcomes, settings))


def refuse_what_is_no_layer(reports: Sequence[BackendReport]) -> None:
    """Turn a file or module without a layer into one clear line and exit status 2."""
    for backend in reports:
        if backend.availability == "refused":
            raise AdapterError(backend.refused)


def _missing(require: Sequence[str], reports: Sequence[BackendReport]) -> list[str]:
    """Return the required names that no present backend bears, by its own name or its framework's."""
    present = [backend for backend in reports if backend.availability == "present"]
    return [
        name
        for name in require
        if not any(matches(backend.name, [name]) or backend.framework == name for backend in present)
    ]
