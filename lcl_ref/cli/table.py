"""The matrix as a table in the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report.document import summary
from lcl_ref.suite.run.matrix import BackendReport

SHOWN_PROBLEMS = 5
"""Problems printed per backend; the JSON report has all."""


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


def problem_line(problem: Outcome) -> str:
    """Return one wrong cell as a line."""
    kind = problem.error_kind or problem.state
    return f"  [red]{kind}[/] {problem.case} {problem.op} {problem.dtype}: {escape(problem.message)}"


def print_problems(console: Console, outcomes: Sequence[Outcome], diagnoses: Mapping[str, Diagnosis]) -> None:
    """Print the first problems of each backend, how many more there are, and what explains them."""
    of_backend: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.state in ("fail", "error"):
            of_backend[outcome.backend].append(outcome)
    for name, problems in of_backend.items():
        console.print(f"\n[bold]{escape(name)}[/]: {len(problems)} cells do not conform")
        for problem in problems[:SHOWN_PROBLEMS]:
            console.print(problem_line(problem), soft_wrap=True, highlight=False)
        if len(problems) > SHOWN_PROBLEMS:
            console.print(f"  (+{len(problems) - SHOWN_PROBLEMS} more)")
        if name in diagnoses:
            line = f"  [bold]diagnosis[/]: {escape(diagnoses[name].line)} (more: lcl diagnose -b '{escape(name)}')"
            console.print(line, soft_wrap=True, highlight=False)


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
