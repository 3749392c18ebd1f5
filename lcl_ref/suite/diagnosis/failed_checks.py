"""Checks in a diagnosis: each that fails is a finding under its own name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.diagnosis.diagnose import Diagnosis, Finding
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import LOSSES, Settings


def ask_checks(ref: BackendRef, settings: Settings, store: Store, ids: Sequence[str]) -> list[Outcome]:
    """Return the outcomes of those `ids` that are checks, asked in a process of their own."""
    names = [name for name in ids if name in CHECKS]
    if not names:
        return []
    with MatrixRun(make_plan([ref], store, names), settings) as matrix:
        return [event for event in matrix if isinstance(event, Outcome)]


def with_checks(diagnosis: Diagnosis, outcomes: Sequence[Outcome]) -> Diagnosis:
    """Return a diagnosis that knows of checks too."""
    counts = Counter(diagnosis.counts) + Counter(one.state for one in outcomes if one.state in diagnosis.counts)
    found = tuple(_findings(outcomes))
    facts = replace(diagnosis, counts={**diagnosis.counts, **counts}, findings=diagnosis.findings + found)
    if found:
        text = "; ".join(f"{one.deviations[0]}: {CHECKS[one.deviations[0]].sentence}" for one in found)
        return replace(facts, line=f"{diagnosis.line}; {text}" if diagnosis.findings else text)
    if any(diagnosis.counts.values()) or not counts["pass"]:
        return facts
    return replace(facts, line=f"nothing to diagnose: all {counts['pass']} checks hold")


def _findings(outcomes: Sequence[Outcome]) -> list[Finding]:
    """Return a finding for each check that fails."""
    answered = any(one.state == "pass" for one in outcomes)
    wrong = [one for one in outcomes if one.diagnosis == one.case or (answered and one.error_kind in LOSSES)]
    found = []
    for name in dict.fromkeys(one.case for one in wrong):
        mine = [one for one in wrong if one.case == name]
        ops = tuple(dict.fromkeys(one.op for one in mine))
        text = f"{len(mine)} answers ({', '.join(ops)}); {mine[0].op} {mine[0].dtype}: {mine[0].message}"
        found.append(Finding("check", text, (name,), ops))
    return found
