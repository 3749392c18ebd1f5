"""``lcl diagnose``: the name of the mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from lcl_ref.cli.console import console, errors, say
from lcl_ref.cli.options import (
    OfLayers,
    TargetFile,
    backend_option,
    case_option,
    data_option,
    limit_options,
    tier_option,
)
from lcl_ref.cli.run import announced
from lcl_ref.outside import scratch
from lcl_ref.outside.writing import check_target
from lcl_ref.suite.checks.choosing import chosen
from lcl_ref.suite.diagnosis.diagnose import Diagnosis, Finding
from lcl_ref.suite.diagnosis.diagnose_remote import diagnose_backend
from lcl_ref.suite.diagnosis.failed_checks import ask_checks, with_checks
from lcl_ref.suite.report import document
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.settings import Settings

FORMAT = "lcl-diagnosis/1"


@click.command(cls=OfLayers)
@backend_option(required=True)
@case_option()
@tier_option()
@limit_options()
@click.option("--json", "json_file", type=TargetFile(), help="Write the findings here.")
@data_option()
def diagnose(
    backends: Sequence[str],
    cases: Sequence[str],
    tier: str,
    timeout: float,
    start_timeout: float,
    json_file: Path | None,
    data: Path,
) -> int:
    """Name what is wrong with a layer: the known mistake that reproduces every wrong answer, or what experiments show.

    Exit status: 0 nothing is wrong, 1 something is, 2 wrong input, 3 nothing was answered.
    """
    refs = resolve(list(backends))
    if json_file:
        check_target(json_file, read=[file for ref in refs for file in ref.files])
    store = announced(data)
    ids = chosen(tier, cases)
    out = console()
    diagnoses = []
    for ref in refs:
        with (
            scratch.folder() as folder,
            errors().status(f"diagnosing {ref.name}"),
        ):
            settings = Settings(data, 1, timeout, start_timeout, answers=folder)
            diagnosis = diagnose_backend(ref, settings, ids)
            if not diagnosis.line.startswith("cannot"):
                diagnosis = with_checks(diagnosis, ask_checks(ref, settings, store, ids))
            diagnoses.append(diagnosis)
        _print(out, diagnoses[-1])
    if json_file:
        document.write_json(json_file, {"format": FORMAT, "diagnoses": [one.to_dict() for one in diagnoses]})
    return max(map(_status, diagnoses), key=(0, 3, 1).index)


def _status(diagnosis: Diagnosis) -> int:
    counts = diagnosis.counts
    if diagnosis.findings or counts.get("fail") or counts.get("error"):
        return 1
    return 0 if counts.get("pass") else 3


def _print(out: Console, diagnosis: Diagnosis) -> None:
    out.print(f"[bold]{escape(diagnosis.backend)}[/]: {escape(diagnosis.line)}", soft_wrap=True, highlight=False)
    for finding in diagnosis.findings:
        for line in _lines(finding, finding.text in diagnosis.line):
            out.print(f"  {escape(line)}", soft_wrap=True, highlight=False)
    for program in dict.fromkeys(finding.program for finding in diagnosis.findings if finding.program):
        out.print("  a program that shows it:\n")
        say("".join(f"    {line}\n" for line in program.splitlines()))


def _lines(finding: Finding, reported: bool) -> list[str]:
    """Return a finding as lines; its sentence is left out where the first line has it."""
    facts = {
        "deviation" if finding.kind == "deviation" else finding.kind: " + ".join(finding.deviations),
        "known in": finding.known_in,
        "fix": finding.fix,
        "the cases cannot tell it from": ", ".join(finding.same),
    }
    lines = [] if reported else [f"{finding.kind}: {finding.text}"]
    return lines + [f"{name}: {value}" for name, value in facts.items() if value]
