"""``lcl smoke``: the first minute of a port, with one of three verdicts."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from lcl_ref.cli.console import console
from lcl_ref.cli.options import OfLayers, backend_option, data_option, limit_options
from lcl_ref.cli.run import execute, refuse_what_is_no_layer
from lcl_ref.suite.cases.tiers import in_tier
from lcl_ref.suite.golden import fixtures
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report import document
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.settings import BackendReport, Settings

SHOWN = 3


@click.command(cls=OfLayers)
@backend_option(required=True)
@limit_options()
@data_option()
def smoke(backends: Sequence[str], timeout: float, start_timeout: float, data: Path) -> int:
    """Ask a few small questions and tell a program that is broken from a layer that deviates.

    Exit status: 0 conforms so far, 1 broken or deviates, 2 wrong input, 3 nothing was run.
    """
    store = fixtures.verify(data)
    plan = make_plan(resolve(list(backends)), store, in_tier("smoke"), tier="smoke")
    reports, outcomes = execute(plan, Settings(data, os.cpu_count() or 1, timeout, start_timeout))
    refuse_what_is_no_layer(reports)
    out = console()
    for backend in reports:
        _print_verdict(out, backend, [outcome for outcome in outcomes if outcome.backend == backend.name])
    return document.exit_status(outcomes)


def _print_verdict(out: Console, backend: BackendReport, outcomes: Sequence[Outcome]) -> None:
    """Print the verdict on one backend, the first problems behind it, and what to do next."""
    counts = Counter(outcome.state for outcome in outcomes)
    asked = len(outcomes) - counts["unsupported"]
    again = f"-b {shlex.quote(backend.name)}"
    name = f"[bold]{escape(backend.name)}[/]"
    if backend.availability != "present":
        out.print(f"{name}: [red]it is broken[/]; it does not start: {escape(backend.message)}", soft_wrap=True)
    elif counts["error"]:
        text = f"{counts['error']} of {asked} questions got no usable answer; no number was judged for them"
        out.print(f"{name}: [red]it is broken[/]; {text}")
        _print_first(out, [outcome for outcome in outcomes if outcome.state == "error"])
        if backend.name.startswith("exec:"):
            out.print(f"  next: lcl protocol-check {escape(shlex.quote(backend.name.removeprefix('exec:')))}")
    elif counts["fail"]:
        out.print(f"{name}: it works, but [red]the layer deviates[/]; {counts['fail']} of {asked} answers are wrong")
        _print_first(out, [outcome for outcome in outcomes if outcome.state == "fail"])
        out.print(f"  next: lcl diagnose {escape(again)}")
    elif counts["pass"]:
        out.print(f"{name}: [green]conforms so far[/]; {counts['pass']} of {asked} answers are right")
        out.print(f"  next: lcl run {escape(again)}")
    else:
        out.print(f"{name}: nothing was run; it declares all of it unsupported, such as")
        _print_first(out, outcomes)


def _print_first(out: Console, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes[:SHOWN]:
        kind = outcome.error_kind or outcome.state
        text = f"  {kind} {outcome.case} {outcome.op} {outcome.dtype}: {outcome.message}"
        out.print(escape(text), soft_wrap=True)
    if len(outcomes) > SHOWN:
        out.print(f"  (+{len(outcomes) - SHOWN} more)")
