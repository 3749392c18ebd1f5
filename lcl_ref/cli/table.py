"""The matrix as a table in the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report.document import summary
from lcl_ref.suite.report.looked_at import LookedAt
from lcl_ref.suite.run.drawn_cases import Fresh, is_fresh
from lcl_ref.suite.run.settings import BackendReport


def matrix_table(backends: Sequence[BackendReport], outcomes: Iterable[Outcome]) -> Table:
    """Return one row per backend, one column per dtype: how many cells conform, and the worst error."""
    of_backend: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_backend[outcome.backend].append(outcome)
    asked = {outcome.dtype for answers in of_backend.values() for outcome in answers}
    dtypes = [dtype for dtype in ALL_DTYPES if dtype in asked]
    table = Table(
        title="Cells that conform, and the largest error as a share of its proved limit", title_justify="left"
    )
    table.add_column("backend", no_wrap=True)
    table.add_column("framework", no_wrap=True)
    for dtype in dtypes:
        table.add_column(dtype, justify="right", no_wrap=True)
    table.add_column("unsupported", justify="right")
    table.add_column("seconds", justify="right")
    for backend in backends:
        answers = of_backend[backend.name]
        cells = [_verdict([answer for answer in answers if answer.dtype == dtype]) for dtype in dtypes]
        unsupported = str(summary(answers)["unsupported"] or "")
        seconds = f"{sum(answer.seconds for answer in answers):.1f}"
        framework = f"{backend.framework} {backend.version}".strip() or backend.availability
        table.add_row(escape(backend.name), framework, *cells, unsupported, seconds)
    return table


def _verdict(answers: Sequence[Outcome]) -> str:
    """Return one cell: ``409 0.42``, or what went wrong."""
    counts = summary(answers)
    wrong = counts["fail"] + counts["error"]
    ran = wrong + counts["pass"]
    if counts["not_run"] and not ran:
        return "[yellow]not run[/]"
    if not ran:
        return "[dim]-[/]"
    if wrong:
        return f"[red]{wrong} of {ran} wrong[/]"
    worst = max((answer.error_ratio or 0.0 for answer in answers), default=0.0)
    return f"[green]{ran}[/] [dim]{worst:.2f}[/]"


def print_reasons(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print why cells are unsupported or were not run, grouped by reason."""
    groups = Counter(
        (outcome.backend, outcome.state, outcome.message)
        for outcome in outcomes
        if outcome.state in ("unsupported", "not_run")
    )
    for (name, state, reason), count in sorted(groups.items()):
        console.print(f"  {escape(name)}: {count} {state.replace('_', ' ')}: {escape(reason)}", soft_wrap=True)


def print_warnings(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print how many passes came with a warning."""
    warned = Counter(outcome.backend for outcome in outcomes if outcome.state == "pass" and outcome.message)
    for name, count in warned.items():
        console.print(f"[yellow]{escape(name)}: {count} cells pass with a warning (see the JSON report)[/]")


def print_looked_at(console: Console, looked: Iterable[LookedAt]) -> None:
    """Print for narrow layers how much was looked at, and what could not have been seen."""
    for one in looked:
        if not one.narrow:
            continue
        console.print(escape(one.sentence), soft_wrap=True, highlight=False)
        if one.not_seen:
            console.print(f"  {escape(one.not_seen_sentence)}", soft_wrap=True, highlight=False)


def print_fresh(console: Console, backends: Sequence[BackendReport], fresh: Fresh | None) -> None:
    """Print how many cells are of fresh cases, and which layers there were none for."""
    if fresh is None:
        return
    total = sum(backend.fresh or 0 for backend in backends)
    console.print(f"{total} cells are of fresh cases", highlight=False)
    for backend in backends:
        if backend.availability == "present" and not backend.fresh:
            text = f"{backend.name}: no fresh case, since no layer that was drawn is one it supports"
            console.print(f"[yellow]{escape(text)}[/]", soft_wrap=True, highlight=False)


def print_seed(console: Console, outcomes: Iterable[Outcome], seed: int) -> None:
    """Print the seed of a run in which something was drawn."""
    if any(outcome.case == "state/call-order" or is_fresh(outcome.case) for outcome in outcomes):
        console.print(f"the same draws again: --seed {seed}", highlight=False)
