"""The matrix as a table in the terminal: one line per backend, with more in it where there is more room."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lcl_ref.cli.console import Rows
from lcl_ref.suite.formats import ALL_DTYPES
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.report.document import summary
from lcl_ref.suite.report.looked_at import LookedAt
from lcl_ref.suite.run.drawn_cases import Fresh, is_fresh
from lcl_ref.suite.run.settings import BackendReport

NUMBERS = 48
"""Columns that the numbers of a narrow table take; a wide one leaves names as many as a narrow one of 80."""


def matrix_table(
    backends: Sequence[BackendReport], outcomes: Iterable[Outcome], *, wide: bool = False, room: int = 0
) -> Table:
    """Return one row per backend: how many cells conform, and the worst error; if `wide`, of each dtype.

    Names have `room` columns; without it, as many as they need.
    """
    of_backend: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_backend[outcome.backend].append(outcome)
    asked = {outcome.dtype for answers in of_backend.values() for outcome in answers}
    numbers = [dtype for dtype in ALL_DTYPES if dtype in asked] if wide else ["conform", "wrong", "error/limit"]
    right = (*numbers, "unsupported", "s")
    table = Rows("backend", *(["framework"] if wide else []), *right, right=right)
    for backend in backends:
        answers = of_backend[backend.name]
        cells = _dtypes(backend, answers, numbers) if wide else _counts(answers)
        unsupported = str(summary(answers)["unsupported"] or "")
        seconds = f"{sum(answer.seconds for answer in answers):.1f}"
        table.add_row(escape(_cut(called(backend.name), room)), *cells, unsupported, seconds)
    return table


def _dtypes(backend: BackendReport, answers: Sequence[Outcome], dtypes: Sequence[str]) -> list[str]:
    """Return the cells of a wide table: the framework, and what became of each dtype."""
    framework = f"{backend.framework} {backend.version}".strip()
    return [framework, *(_verdict([answer for answer in answers if answer.dtype == dtype]) for dtype in dtypes)]


def called(name: str) -> str:
    """Return what a table calls a backend: of a command, the name of its program.

    Examples
    --------
    >>> called("exec:node examples/js/port.js --fast"), called("exec:./a.out"), called("torch.fast")
    ('port.js', 'a.out', 'torch.fast')
    """
    if not name.startswith("exec:"):
        return name
    words = shlex.split(name.removeprefix("exec:"))
    files = [word for word in words[1:] if "." in Path(word).name and not word.startswith("-")]
    return Path((files or words[:1] or [name])[0]).name


def _cut(name: str, room: int) -> str:
    """Return the end of a name, which is what tells paths apart, where the whole one is longer than there is room."""
    return name if not room or len(name) <= room else f"…{name[1 - room :]}"


def _counts(answers: Sequence[Outcome]) -> list[str]:
    """Return the cells of a narrow table: how many conform and how many do not, and the largest error."""
    counts = summary(answers)
    wrong = counts["fail"] + counts["error"]
    if counts["not_run"] and not wrong + counts["pass"]:
        return ["[yellow]not run[/]", "", ""]
    worst = max((answer.error_ratio or 0.0 for answer in answers if answer.state == "pass"), default=0.0)
    passed = f"[green]{counts['pass']}[/]" if counts["pass"] else "0"
    return [passed, f"[red]{wrong}[/]" if wrong else "0", f"{worst:.2f}" if counts["pass"] else "-"]


def print_absent(console: Console, absent: Sequence[BackendReport], outcomes: Sequence[Outcome]) -> None:
    """Print in one line which frameworks are not installed, or have no machine, and what was not run therefore."""
    if not absent:
        return
    families = dict.fromkeys(backend.name.partition(".")[0] for backend in absent)
    names = {backend.name for backend in absent}
    cells = sum(outcome.backend in names for outcome in outcomes)
    why = "not installed" if all(one.message.endswith("is not installed") for one in absent) else "not run"
    text = f"{why}: {', '.join(families)} ({len(absent)} backends, {cells} cells not run; --all lists them)"
    console.print(f"[dim]{escape(text)}[/]", soft_wrap=True, highlight=False)


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
