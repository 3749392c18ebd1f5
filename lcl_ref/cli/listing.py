"""``lcl backends``, ``lcl cases`` and ``lcl explain``: what there is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.markup import escape

from lcl_ref.cli.console import WIDE, Rows, console, say
from lcl_ref.cli.options import TargetFile, case_option, data_option, json_option, tier_option
from lcl_ref.outside.writing import write_text
from lcl_ref.suite.cases.case import Case
from lcl_ref.suite.cases.catalogue import REFUSALS, select, select_listed
from lcl_ref.suite.cases.extensions import ExtensionCase
from lcl_ref.suite.cases.tiers import in_tier, tier_of
from lcl_ref.suite.checks.catalogue import CHECKS, Check
from lcl_ref.suite.checks.choosing import checks_and_globs_of_cases
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge import rounding
from lcl_ref.suite.report import describe_case
from lcl_ref.suite.report.pages.explorer import explorer_page
from lcl_ref.suite.run import registry
from lcl_ref.suite.run.drawn_cases import DrawnCase, existing, is_fresh
from lcl_ref.suite.validation import coverage


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those whose framework is not installed.")
@json_option()
def backends(everything: bool, as_json: bool) -> None:
    """List the registered adapters, a line each: how they compute the layer, and what they do not take."""
    rows = [registry.as_dict(declaration) for declaration in registry.declarations()]
    if as_json:
        say(json.dumps(rows, indent=1))
        return
    out = console()
    wide = out.width >= WIDE
    headings = ("dtypes", "not taken", "how") if wide else ("how",)
    table = Rows("backend", "framework", "ranks", *headings)
    for row in rows:
        if row["installed"] or everything:
            table.add_row(*map(escape, _backend_cells(row, wide)))
    out.print(table)
    missing = Counter(row["framework"] for row in rows if not row["installed"])
    if missing and not everything:
        words = ", ".join(f"{framework} ({count})" for framework, count in missing.items())
        say(f"not installed: {words}; --all lists them")


def _backend_cells(row: Mapping[str, Any], wide: bool) -> list[str]:
    """Return the line of one backend; a wide one names its dtypes and what it does not take."""
    can = row["capabilities"]
    version = row["version"] if row["installed"] else "missing"
    refused = [name for name in ("dilation", "groups") if not can[name]]
    refused += [f"sharing {name}" for name in ("none", "some", "all") if name not in can["sharing"]]
    refused += ["padding"] if can["padding"] != "any" else []
    more = [" ".join(can["dtypes"]), ", ".join(refused) or "-"] if wide else []
    ranks = "".join(map(str, can["ranks"]))
    return [row["name"], f"{row['framework']} {version}", ranks, *more, row["summary"]]


@click.command()
@case_option()
@tier_option()
@click.option("--coverage", "as_coverage", is_flag=True, help="Print which settings the cases ask for together.")
@json_option()
@data_option()
def cases(cases: Sequence[str], tier: str, as_coverage: bool, as_json: bool, data: Path) -> None:
    """List the cases, which are layers, specifications that must be refused, and checks of memory orders and state."""
    checks, globs = checks_and_globs_of_cases(cases)
    if tier == "smoke":
        checks = []  # the tier holds none
    chosen, extended = _cases_of(tier, globs) if globs or not cases else ([], [])
    if as_coverage:
        _print_coverage(chosen, Store(data), as_json)
        return
    refused = [] if cases or tier != "full" else list(REFUSALS)
    if as_json:
        accepted = [_case_dict(case) for case in chosen]
        refusals = [
            {"id": refusal.id, "rule": refusal.rule, "why": refusal.why, "clauses": list(refusal.clauses)}
            for refusal in refused
        ]
        extensions = [_extension_dict(case) for case in extended]
        listed = {"accepted": accepted, "refused": refusals, "extensions": extensions}
        say(json.dumps(listed | {"checks": [_check_dict(CHECKS[name]) for name in checks]}, indent=1))
        return
    table = Rows("case", "tier", "values", "clauses", "why")
    for case in chosen:
        table.add_row(case.id, tier_of(case), case.values, " ".join(case.clauses), escape(case.why))
    for refusal in refused:
        table.add_row(refusal.id, "", "refused", " ".join(refusal.clauses), escape(refusal.why))
    for extension in extended:
        table.add_row(extension.id, "", extension.values, " ".join(extension.clauses), escape(extension.why))
    for check in (CHECKS[name] for name in checks):
        table.add_row(check.id, "", "check", check.clause, f"catches a layer that {_predicate(check)}")
    console().print(table)
    counts = f"{len(chosen)} accepted, {len(refused)} refused, {len(extended)} of extensions, {len(checks)} checks"
    say(counts)


def _cases_of(tier: str, globs: Sequence[str]) -> tuple[list[Case], list[ExtensionCase]]:
    return select_listed(globs) if tier == "full" else (select(in_tier(tier, globs)), [])


def _print_coverage(chosen: Sequence[Case], store: Store, as_json: bool) -> None:
    """Print how many legal pairs and triples of settings these cases ask for, and every pair they leave out."""
    entries = [store.entries[case.id] for case in chosen if case.id in store.entries]
    facts = coverage.as_dict(coverage.coverage(entries), coverage.coverage(entries, coverage.TRIPLES))
    if as_json:
        say(json.dumps(facts, indent=1))
        return
    numbers = ("legal pairs", "asked for")
    table = Rows("parameters", *numbers, "missing", right=numbers)
    for row in facts["pairs"]:
        missing = "; ".join(" + ".join(pair) for pair in row["missing"])
        asked = row["legal"] - len(row["missing"])
        table.add_row(" x ".join(row["parameters"]), str(row["legal"]), str(asked), missing)
    console().print(table)
    for name, found in (("pairs", facts), ("triples", facts["triples"])):
        share = 100 * found["covered"] / found["legal"]
        say(f"{found['covered']} of {found['legal']} legal {name} ({share:.1f} %) in {len(chosen)} cases")


def _extension_dict(case: ExtensionCase) -> dict[str, object]:
    return {
        "id": case.id,
        "values": case.values,
        "batch": case.batch,
        "why": case.why,
        "clauses": list(case.clauses),
        "settings": dict(case.settings),
        "spec": None if case.spec is None else case.spec.to_dict(),
    }


def _predicate(check: Check) -> str:
    """Return what a layer does that fails a check, as the rest of a sentence."""
    return f"is {check.sentence}" if check.sentence.startswith("wrong") else check.sentence


def _check_dict(check: Check) -> dict[str, object]:
    return {"id": check.id, "mistake": check.sentence, "clauses": [check.clause], "ops": list(check.ops)}


def _case_dict(case: Case) -> dict[str, object]:
    return {
        "id": case.id,
        "tier": tier_of(case),
        "values": case.values,
        "batch": case.batch,
        "why": case.why,
        "clauses": list(case.clauses),
        "tags": list(case.tags),
        "spec": case.spec.to_dict(),
    }


@click.command()
@click.argument("case_id", metavar="CASE")
@click.option("--html", "html_file", type=TargetFile(), help="Write a page to explore these cases here.")
@data_option()
def explain(case_id: str, html_file: Path | None, data: Path) -> None:
    """Print what CASE asks: an id or a glob of cases, a check, fresh/SEED/N, or the name of a warning."""
    if html_file:
        write_text(html_file, explorer_page(_to_explore(case_id, data)))
        say(str(html_file))
        return
    if is_fresh(case_id):
        say(describe_case.describe(*_draw(existing(case_id))))
        return
    if case_id == rounding.NAME:
        say(rounding.DESCRIPTION)
        return
    checks, globs = checks_and_globs_of_cases([case_id])
    for check in (CHECKS[name] for name in checks):
        about = f"{', '.join(check.ops)}; SPEC clause {check.clause}"
        say(f"{check.id} ({about}) catches a layer that {_predicate(check)}")
    store = Store(data)
    for case in select(globs) if globs else []:
        say(describe_case.describe(case, store.arrays(case.id)))


def _to_explore(case_id: str, data: Path) -> list[tuple[Case, describe_case.Arrays]]:
    """Return the cases that a word names, each with its arrays."""
    if is_fresh(case_id):
        return [_draw(existing(case_id))]
    globs = checks_and_globs_of_cases([case_id])[1]
    if not globs:
        raise click.UsageError(f"--html is of cases, and {case_id!r} is a check (`lcl cases` lists both)")
    store = Store(data)
    return [(case, store.arrays(case.id)) for case in select(globs)]


def _draw(drawn: DrawnCase) -> tuple[Case, describe_case.Arrays]:
    """Return a fresh case, with the operands of the dtype it is asked in."""
    dtype = next(dtype for dtype in drawn.dtypes if drawn.amplitude(dtype))
    why = f"drawn at random; operands as in {dtype}"
    case = Case(id=drawn.name, spec=drawn.spec, batch=drawn.batch, why=why, clauses=("11.9",))
    task = drawn.task(dtype)
    whole = {name: array.astype(np.int64) for name, array in (*task.operands.items(), *task.golden.items())}
    return case, whole
