"""Putting the name of the mistake to the wrong cells of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lcl_ref.errors import LclError
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.diagnosis.diagnose_remote import Loss, diagnose_backend
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.drawn_cases import is_fresh
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.settings import LOSSES, Settings


def name_mistakes(
    plan: RunPlan, outcomes: Sequence[Outcome], settings: Settings
) -> tuple[list[Outcome], dict[str, Diagnosis]]:
    """Diagnose every backend with wrong numbers by the answers that the run kept.

    Returns
    -------
    tuple
        The outcomes, wrong ones with the name of the deviation that explains them, and the diagnoses by backend.
    """
    wrong = {outcome.backend for outcome in outcomes if outcome.state == "fail" and not is_fresh(outcome.case)}
    diagnoses = {}
    for ref, cells in plan.items():
        if ref.name in wrong:
            cases = list(dict.fromkeys(cell.case for cell in cells if not is_fresh(cell.case)))
            try:
                diagnoses[ref.name] = diagnose_backend(ref, settings, cases, _lost(ref, outcomes))
            except LclError as error:
                diagnoses[ref.name] = Diagnosis(ref.name, f"cannot diagnose: {error}", {})
    return [_named(outcome, diagnoses) for outcome in outcomes], diagnoses


def _lost(ref: BackendRef, outcomes: Sequence[Outcome]) -> list[Loss]:
    """Return the cells of a run that ended a process of the backend."""
    return [
        (one.case, one.op, one.dtype, f"{one.error_kind}: {one.message}")
        for one in outcomes
        if one.backend == ref.name and one.error_kind in LOSSES and not is_fresh(one.case)
    ]


def _named(outcome: Outcome, diagnoses: dict[str, Diagnosis]) -> Outcome:
    if outcome.state != "fail" or outcome.backend not in diagnoses or is_fresh(outcome.case):
        return outcome
    names = [" + ".join(finding.deviations) for finding in diagnoses[outcome.backend].findings if finding.deviations]
    return replace(outcome, diagnosis="; ".join(names) or None)
