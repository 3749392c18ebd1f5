"""Following a run: a progress bar, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lcl_ref.cli.console import errors, say
from lcl_ref.cli.table import called
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.matrix import Event, in_order
from lcl_ref.suite.run.settings import BackendReport


class Run(AbstractContextManager["Run"], Protocol):
    """A running matrix, here or elsewhere."""

    def __iter__(self) -> Iterator[Event]: ...


def follow(run: Run, plan: RunPlan, verbose: bool = False) -> tuple[list[BackendReport], list[Outcome]]:
    """Follow the run of a plan with a progress bar; return what is known of each backend, in its order, and outcomes.

    Where a bar cannot be drawn, nothing is said unless `verbose` asks for a line per backend.
    """
    reports: dict[str, BackendReport] = {}
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = errors()
    left = {ref.name: len(cells) for ref, cells in plan.items()}
    shown = Progress(*columns, console=progress, transient=True, disable=not progress.is_terminal)
    with shown as bar, run as matrix:
        task = bar.add_task("cells", total=sum(left.values()))
        for event in matrix:
            if isinstance(event, BackendReport):
                reports[event.name] = event
                left[event.name] += event.fresh or 0
                bar.update(task, total=sum(left.values()) + len(outcomes))
            else:
                outcomes.append(event)
                left[event.backend] -= 1
                bar.update(task, advance=1, description=escape(called(event.backend)))
                if verbose and not left[event.backend] and not progress.is_terminal:
                    say(f"{event.backend}: done, {len(outcomes)} of {bar.tasks[0].total:g} cells", err=True)
    return in_order(plan, reports.values(), outcomes)
