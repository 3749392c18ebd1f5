"""Putting the name of the mistake to the wrong cells of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lcl_ref.errors import LclError
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.diagnosis.diagnose import Diagnosis, Finding
from lcl_ref.suite.diagnosis.diagnose_remote import Loss, diagnose_backend
from lcl_ref.suite.diagnosis.failed_checks import with_checks
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import RunPlan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.settings import LOSSES, Settings


def name_mistakes(
    plan: RunPlan, outcomes: Sequence[Outcome], settings: Settings
) -> tuple[list[Outcome], dict[str, Diagnosis]]:
    """Diagnose every backend with wrong numbers by the answers that the run kept; checks bear their own names.

    Returns
    -------
    tuple
        The outcomes, wrong ones with the name of the deviation that explains them, and the diagnoses by backend.
    """
    wrong = {one.backend for one in outcomes if one.state == "fail" and _is_case(one.case) and not one.diagnosis}
    outcomes = [replace(one, diagnosis=None) if _by_values(one, wrong) else one for one in outcomes]
    diagnoses: dict[str, Diagnosis] = {}
    for ref, cells in plan.items():
        if ref.name in wrong:
            cases = list(dict.fromkeys(cell.case for cell in cells if _is_case(cell.case)))
            try:
                diagnoses[ref.name] = diagnose_backend(ref, settings, cases, _lost(ref, outcomes))
            except LclError as error:
                diagnoses[ref.name] = Diagnosis(ref.name, f"cannot diagnose: {error}", {})
    named = [_named(outcome, diagnoses) for outcome in outcomes]
    for name in dict.fromkeys(outcome.backend for outcome in outcomes if outcome.case in CHECKS):
        checks = [outcome for outcome in outcomes if outcome.backend == name and outcome.case in CHECKS]
        with_them = with_checks(diagnoses.get(name, Diagnosis(name, "", {})), checks)
        if with_them.findings:
            diagnoses[name] = with_them
    return named, {name: accounted(one, outcomes) for name, one in diagnoses.items()}


def accounted(diagnosis: Diagnosis, outcomes: Sequence[Outcome]) -> Diagnosis:
    """Return a diagnosis that says what is wrong although its own questions showed nothing: the first failure."""
    wrong = [one for one in outcomes if one.backend == diagnosis.backend and one.state == "fail"]
    if diagnosis.findings or not wrong:
        return diagnosis
    first = wrong[0]
    text = f"{len(wrong)} cells fail in a run; {first.case} {first.op} {first.dtype}: {first.message}"
    finding = Finding("form", text, ops=tuple(dict.fromkeys(one.op for one in wrong)))
    return replace(diagnosis, line=text, findings=(finding,))


def _is_case(case: str) -> bool:
    """Return whether a deviation can explain the answers to a case: checks bear names of their own."""
    return case not in CHECKS


def _by_values(outcome: Outcome, wrong: set[str]) -> bool:
    """Return whether numbers alone have named a mistake, in a backend that is wrong elsewhere too."""
    return outcome.backend in wrong and outcome.state == "fail" and _is_case(outcome.case)


def _lost(ref: BackendRef, outcomes: Sequence[Outcome]) -> list[Loss]:
    """Return the cells of a run that ended a process of the backend."""
    return [
        (one.case, one.op, one.dtype, f"{one.error_kind}: {one.message}")
        for one in outcomes
        if one.backend == ref.name and one.error_kind in LOSSES and _is_case(one.case)
    ]


def _named(outcome: Outcome, diagnoses: dict[str, Diagnosis]) -> Outcome:
    if outcome.state != "fail" or outcome.diagnosis or not _is_case(outcome.case) or outcome.backend not in diagnoses:
        return outcome
    names = [" + ".join(finding.deviations) for finding in diagnoses[outcome.backend].findings if finding.deviations]
    return replace(outcome, diagnosis="; ".join(names) or None)
