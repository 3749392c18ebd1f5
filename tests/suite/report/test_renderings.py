"""A report in the forms of other programs: they read it, and every cell of the report is in it."""

import json
from xml.etree import ElementTree as ET

import pytest

from lcl_ref.suite.report import merge
from lcl_ref.suite.report.renderings import FORMS
from tests.support.programs import lcl

LAYER = """
import numpy as np
def forward(spec, x, weight, bias):
    import lcl_ref
    return lcl_ref.forward(spec, x, -weight if spec.rank == 2 else weight, bias)
def supports(spec, dtype, op):
    return op == "forward" or "50% | <of> the operations"
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run a layer that is wrong in rank 2; return its report, its folder, and what was printed as Markdown."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "layer.py").write_text(LAYER)
    words = ["-c", "[12]d/plain/channel-bias", "--dtype", "float64", "--no-diagnose", "--json", "r.json"]
    done = lcl("run", "-b", "layer.py", *words, "--format", "markdown", cwd=folder)
    assert done.returncode == 1
    return json.loads((folder / "r.json").read_text()), folder, done


def count(report, *states):
    return sum(row["state"] in states for row in report["outcomes"])


def test_markdown_is_all_that_stands_on_stdout(ran):
    report, _, done = ran
    wrong = count(report, "fail", "error")
    assert wrong
    assert done.stdout == FORMS["markdown"](report)
    assert f"| layer.py | {count(report, 'pass')} | {wrong} | {count(report, 'unsupported')} | " in done.stdout
    assert "- 2d/plain/channel-bias forward float64: wrong numbers: y: " in done.stdout
    assert "layer.py: " in done.stderr


def test_junit_has_a_test_for_every_cell(ran):
    report, _, _ = ran
    (suite,) = ET.fromstring(FORMS["junit"](report))  # noqa: S314 -- our own text
    assert len(suite.findall("testcase")) == len(report["outcomes"]) == int(suite.get("tests"))
    assert len(suite.findall("*/failure")) == count(report, "fail") == int(suite.get("failures"))
    reasons = {skipped.get("message") for skipped in suite.findall("*/skipped")}
    assert reasons == {row["message"] for row in report["outcomes"] if row["state"] == "unsupported"}
    assert "50% | <of> the operations" in reasons


def test_a_github_log_names_the_file_once(ran):
    report, _, _ = ran
    error, notice = FORMS["github"](report).splitlines()
    wrong = count(report, "fail")
    assert error.startswith(f"::error file=layer.py,title=layer.py%3A {wrong} cells do not conform::2d/plain/")
    assert notice.startswith(f"::notice title=lcl-ref::{count(report, 'pass')} pass, {wrong} fail")


def test_sarif_has_a_result_for_every_wrong_cell(ran):
    report, _, _ = ran
    (run,) = json.loads(FORMS["sarif"](report))["runs"]
    assert len(run["results"]) == count(report, "fail")
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {one["ruleId"] for one in run["results"]}
    places = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]}
    assert places == {"layer.py"}


def test_a_badge_counts_what_deviates(ran):
    report, _, _ = ran
    assert json.loads(FORMS["badge"](report))["message"] == f"{count(report, 'fail')} cells deviate"
    right = report | {"summary": report["summary"] | {"fail": 0}}
    assert json.loads(FORMS["badge"](right))["color"] == "brightgreen"


@pytest.mark.parametrize("form", FORMS)
def test_a_stored_report_gives_the_same(ran, form):
    report, folder, _ = ran
    done = lcl("report", "show", "r.json", "--format", form, cwd=folder)
    assert done.returncode == 0
    assert done.stdout == FORMS[form](report)


def test_rows_of_several_runs_name_their_run(ran):
    _, folder, _ = ran
    report = merge.read(folder / "r.json")
    other = report["runs"][0] | {"label": "other"}
    rows = [row | {"run": "other"} for row in report["outcomes"]]
    both = report | {"runs": [*report["runs"], other], "outcomes": report["outcomes"] + rows}
    assert "| layer.py (other) | " in FORMS["markdown"](both)
    assert "| layer.py (r) | " in FORMS["markdown"](both)
