"""What does not conform, in the terminal: identical failures in one line, and what they have in common."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from lcl_ref.core.spec import Spec
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.drawn_cases import existing, is_fresh
from lcl_ref.suite.validation.coverage import settings_of

SHOWN_PROBLEMS = 5
"""Problems printed per backend, identical ones as one; the JSON report has all."""

SHOWN_SETTINGS = 4
"""Settings printed that the cells of a line share."""

PLAIN = {"unit", "valid", "one", "none", "no axis", "several"}
"""Values of settings that are not worth a word."""

ASKED = ("pass", "fail", "error")


def print_problems(
    out: Console, outcomes: Sequence[Outcome], diagnoses: Mapping[str, Diagnosis], store: Store, most: int
) -> None:
    """Print the first problems of each backend, how many more there are, and what explains them."""
    asked: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.state in ASKED:
            asked[outcome.backend].append(outcome)
    for name, answers in asked.items():
        problems = [answer for answer in answers if answer.state != "pass"]
        if problems:
            out.print(f"\n[bold]{escape(name)}[/]: {len(problems)} cells do not conform")
            _print_groups(out, problems, answers, store, most)
            for line in supports_lines(answers, store):
                out.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
        if name in diagnoses:
            line = f"  [bold]diagnosis[/]: {escape(diagnoses[name].line)} (more: lcl diagnose -b '{escape(name)}')"
            out.print(line, soft_wrap=True, highlight=False)


def _print_groups(
    out: Console, problems: Sequence[Outcome], answers: Sequence[Outcome], store: Store, most: int
) -> None:
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for problem in problems:
        groups[problem.error_kind or problem.state, _form_of(problem.message)].append(problem)
    shown = list(groups.values())[:most]
    for group in shown:
        out.print(problem_line(group[0]), soft_wrap=True, highlight=False)
        if len(group) > 1:
            common = ", ".join(shared_settings(group, answers, store)[:SHOWN_SETTINGS])
            text = f"    and the same in {len(group) - 1} more cells" + (f"; all have {common}" if common else "")
            out.print(escape(text), soft_wrap=True, highlight=False)
    left = len(problems) - sum(map(len, shown))
    if left:
        out.print(f"  (+{left} more)")


def problem_line(problem: Outcome) -> str:
    """Return one wrong cell as a line."""
    kind = problem.error_kind or problem.state
    return f"  [red]{kind}[/] {problem.case} {problem.op} {problem.dtype}: {escape(problem.message)}"


def _form_of(message: str) -> str:
    """Return a message without its numbers, which differ where the mistake is the same."""
    return re.sub(r"\d+", "#", message) if "elements wrong" not in message else message


def shared_settings(group: Sequence[Outcome], answers: Sequence[Outcome], store: Store) -> list[str]:
    """Return the settings that all cells of a group have and some other cell that was asked has not."""
    members = {outcome.cell for outcome in group}
    mine: list[dict[str, str]] = []
    others: list[dict[str, str]] = []
    for outcome in answers:
        if outcome.case not in CHECKS:  # a check is about several layers
            (mine if outcome.cell in members else others).append(_settings(outcome, store))
    first = mine[0] if mine else {}
    common = [name for name in first if all(settings[name] == first[name] for settings in mine)]
    telling = [name for name in common if any(settings[name] != first[name] for settings in others)]
    telling.sort(key=lambda name: first[name] in PLAIN)
    return [f"{name} {first[name]}" for name in telling]


def _settings(outcome: Outcome, store: Store) -> dict[str, str]:
    spec, batch = _layer(outcome, store)
    return {"op": outcome.op, "dtype": outcome.dtype} | settings_of(spec, batch)


def _layer(outcome: Outcome, store: Store) -> tuple[Spec, int]:
    if is_fresh(outcome.case):
        case = existing(outcome.case)
        return case.spec, case.batch
    return store.spec(outcome.case), store.entries[outcome.case]["batch"]


def supports_lines(answers: Sequence[Outcome], store: Store) -> list[str]:
    """Return what to add to a user's file where every cell of some rank raises and another rank does not."""
    raising: dict[int, bool] = {}
    for answer in answers:
        if answer.case in CHECKS:
            continue
        rank = _layer(answer, store)[0].rank
        raising[rank] = raising.get(rank, True) and answer.error_kind == "exception"
    bad = sorted(rank for rank, raises in raising.items() if raises)
    good = sorted(rank for rank, raises in raising.items() if not raises)
    if not bad or not good:
        return []
    ranks = " and ".join(map(str, bad))
    return [
        f"every cell of rank {ranks} raises. If the layer is not meant for it, say so in its file:",
        "    def supports(spec, dtype, op):  # in a class: (self, spec, dtype, op)",
        f"        known = spec.rank in {tuple(good)!r}",
        f'        return known or "no rank {ranks}"',
    ]
