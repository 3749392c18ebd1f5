"""``lcl run --ladder``: one concept after the other, up to the first that does not hold."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.ladder import Rung, broken, climb
from lcl_ref.suite.run.matrix import Event, MatrixRun
from lcl_ref.suite.run.settings import BackendReport, Settings


def run_ladder(out: Console, plan: RunPlan, settings: Settings) -> tuple[list[BackendReport], list[Outcome]]:
    """Climb with each backend of a plan, printing a line per rung; return what was asked and answered."""
    reports: list[BackendReport] = []
    outcomes: list[Outcome] = []
    cases = {case.id: case for case in CASES}
    for ref, cells in plan.items():
        rungs = climb(cells, cases)
        ordered = [cell for members in rungs.values() for cell in members]
        with MatrixRun({ref: ordered}, settings) as matrix:
            events = iter(matrix)
            reports.append(_first_report(events))
            out.print(f"[bold]{escape(ref.name)}[/]")
            for rung, members in rungs.items():
                answers = _answers(events, members) if reports[-1].availability != "refused" else []
                outcomes += answers
                if not _stands(out, rung, answers):
                    break
    return reports, outcomes


def _first_report(events: Iterator[Event]) -> BackendReport:
    event = next(events)
    assert isinstance(event, BackendReport)
    return event


def _answers(events: Iterator[Event], members: list[Cell]) -> list[Outcome]:
    """Return the outcomes of the next cells, which arrive in the order they were asked."""
    answers: list[Outcome] = []
    while len(answers) < len(members):
        event = next(events)
        if isinstance(event, Outcome):
            answers.append(event)
    return answers


def _stands(out: Console, rung: Rung, answers: list[Outcome]) -> bool:
    """Print one rung and return whether it holds."""
    problems = broken(answers)
    passed = sum(answer.state == "pass" for answer in answers)
    if not problems:
        state = (
            f"[green]holds[/]  {rung.name} [dim]({passed} cells)[/]"
            if passed
            else f"[dim]-      {rung.name} (not supported)[/]"
        )
        out.print(f"  {state}")
        return True
    out.print(f"  [red]breaks[/] {rung.name}: {len(problems)} of {len(answers)} cells")
    out.print(f"         read SPEC.md, {rung.reading}", highlight=False)
    out.print(f"         lcl explain {problems[0].case} draws the first of them", highlight=False)
    return False
