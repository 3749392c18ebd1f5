"""What a run says at its end, and how much of it."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import click
from rich.markup import escape

from lcl_ref.cli.console import WIDE, Console
from lcl_ref.cli.options import Decorator
from lcl_ref.cli.problems import SHOWN_PROBLEMS, print_problems
from lcl_ref.cli.table import (
    NUMBERS,
    matrix_table,
    print_absent,
    print_fresh,
    print_looked_at,
    print_reasons,
    print_seed,
    print_warnings,
)
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.golden import release
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report import document
from lcl_ref.suite.report.looked_at import LookedAt
from lcl_ref.suite.run.drawn_cases import Fresh
from lcl_ref.suite.run.loading import EXEC
from lcl_ref.suite.run.settings import BackendReport


@dataclass(frozen=True)
class Told:
    """How much a run says.

    Parameters
    ----------
    quiet : bool
        The counts alone.
    verbose : bool
        Every reason; in a pipe every dtype too, and a line per backend that is done.
    everything : bool
        Every problem and every backend that is not installed.
    reasons : bool
        Why cells are unsupported.
    ladder : bool
        Whether a ladder was climbed, which has said what stands in the table.
    """

    quiet: bool = False
    verbose: bool = False
    everything: bool = False
    reasons: bool = False
    ladder: bool = False


@dataclass(frozen=True)
class Ran:
    """What came of a run."""

    backends: Sequence[BackendReport]
    outcomes: Sequence[Outcome]
    diagnoses: Mapping[str, Diagnosis]
    looked: Sequence[LookedAt]
    store: Store
    fresh: Fresh | None
    seed: int


def told_options() -> Decorator:
    """Return ``-q``, ``-v``, ``--all``, ``--reasons`` and ``--ladder``, as one argument `told`."""
    flags = (
        click.option("-q", "--quiet", is_flag=True, help="Print the counts alone."),
        click.option("-v", "--verbose", is_flag=True, help="Print every reason; in a pipe dtypes and progress too."),
        click.option("--all", "everything", is_flag=True, help="Print every problem and backend, installed or not."),
        click.option("--reasons", is_flag=True, help="Print why cells are unsupported."),
        click.option("--ladder", is_flag=True, help="One concept after the other, up to the first that does not hold."),
    )

    def with_told(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def told_command(**words: Any) -> Any:
            given = {field.name: words.pop(field.name) for field in fields(Told)}
            return command(told=Told(**given), **words)

        for flag in reversed(flags):
            told_command = flag(told_command)
        return told_command

    return with_told


def print_run(out: Console, ran: Ran, told: Told) -> None:
    """Print the matrix, what is wrong, what was not looked at, the counts, and where to go next."""
    if not told.quiet:
        _print_matrix(out, ran, told)
        problems = len(ran.outcomes) if told.everything else SHOWN_PROBLEMS
        print_problems(out, ran.outcomes, ran.diagnoses, ran.store, problems)
        if release.warning(ran.store) and document.exit_status(ran.outcomes) == 1:
            out.print(f"[yellow]{escape(release.warning(ran.store))}[/]", soft_wrap=True, highlight=False)
        print_warnings(out, ran.outcomes)
        if told.reasons or told.verbose:
            print_reasons(out, ran.outcomes)
        print_looked_at(out, ran.looked)
        print_fresh(out, ran.backends, ran.fresh)
        print_seed(out, ran.outcomes, ran.seed)
    counts = document.summary(ran.outcomes)
    out.print(", ".join(f"{count} {state.replace('_', ' ')}" for state, count in counts.items()))
    if out.is_terminal and not told.quiet and not told.ladder:
        out.print(f"[dim]next: {escape(_next(ran))}[/]", soft_wrap=True, highlight=False)


def _print_matrix(out: Console, ran: Ran, told: Told) -> None:
    """Print the table, unless a ladder has said the same, without what is not installed."""
    absent = [backend for backend in ran.backends if backend.availability == "missing" and not told.everything]
    rows = [backend for backend in ran.backends if backend not in absent]
    wide = out.width >= WIDE if out.is_terminal else told.verbose
    room = (80 if wide else out.width) - NUMBERS if out.is_terminal else 0
    if rows and not told.ladder:
        out.print(matrix_table(rows, ran.outcomes, wide=wide, room=room))
    print_absent(out, absent, ran.outcomes)


def _next(ran: Ran) -> str:
    """Return the command that somebody who sees this for the first time may want next."""
    wrong = next((one for one in ran.outcomes if one.state in ("fail", "error")), None)
    if wrong is not None and wrong.error_kind in ("crash", "timeout", "malformed") and wrong.backend.startswith(EXEC):
        return f"lcl protocol-check {shlex.quote(wrong.backend.removeprefix(EXEC))}"
    if wrong is not None:
        return f"lcl diagnose -b {shlex.quote(wrong.backend)}; lcl explain {wrong.case}"
    own = [one.name for one in ran.backends if "." in one.name and (":" in one.name or one.name.endswith(".py"))]
    if own:
        return f"lcl fuzz -b {shlex.quote(own[0])} searches further; `lcl_ref.testing` makes tests of your own of it"
    return "lcl new layer my_layer.py writes a layer of your own to start from; lcl run -b my_layer.py judges it"
