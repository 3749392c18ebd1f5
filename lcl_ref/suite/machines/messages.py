"""What travels between a run and its machines: questions there, answers back, and what all answers come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.judge.outcome import Cell, Outcome
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.drawn_cases import Fresh
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.matrix import in_order
from lcl_ref.suite.run.settings import BackendReport


@dataclass(frozen=True)
class Question:
    """A unit as it travels.

    Parameters
    ----------
    topic : str
        Where outcomes are sent while there is no result.
    ref : BackendRef
        Who is asked.
    cells : list of Cell
        What.
    file : bytes or None
        The file of a user's layer.
    group : str
        Units whose backends may follow each other in one process have the same; empty where none may.
    environment : mapping of str to str
        Variables of that process.
    versions : mapping of str to str
        What has to be the same on both sides.
    limits : tuple of float
        Seconds a cell may take, and a backend to load.
    seed : int
        As in `Settings`.
    fresh : Fresh or None
        As in `Settings`.
    naming : bool
        Whether mistakes are named.
    """

    topic: str
    ref: BackendRef
    cells: list[Cell]
    file: bytes | None
    group: str
    environment: Mapping[str, str]
    versions: Mapping[str, str]
    limits: tuple[float, float]
    seed: int
    fresh: Fresh | None
    naming: bool


@dataclass(frozen=True)
class Answer:
    """What came of a unit: the machine that answered, what is known of it, and what it found."""

    machine: str
    facts: Mapping[str, Any]
    report: BackendReport
    outcomes: list[Outcome]
    diagnosis: Diagnosis | None = None


def collected(
    plan: RunPlan, answers: Sequence[Answer]
) -> tuple[list[BackendReport], list[Outcome], dict[str, Diagnosis]]:
    """Return what answers say, in the order of a plan, whatever the one in which they came."""
    outcomes = [one for found in answers for one in found.outcomes]
    diagnoses = {found.report.name: found.diagnosis for found in answers if found.diagnosis is not None}
    named = {ref.name: diagnoses[ref.name] for ref in plan if ref.name in diagnoses}
    return *in_order(plan, [found.report for found in answers], outcomes), named


def answering(answers: Sequence[Answer]) -> dict[str, Mapping[str, Any]]:
    """Return what is known of each machine that answered, by name."""
    return {found.machine: found.facts for found in sorted(answers, key=attrgetter("machine")) if found.machine}
