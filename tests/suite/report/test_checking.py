"""`lcl report verify`, `audit` and `statement`: edited reports are refused with the reason, signed ones checked."""

import copy
import json

import pytest

from lcl_ref.errors import LclError
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import outcome
from lcl_ref.suite.report import merge
from lcl_ref.suite.report.checking import missing_cells
from lcl_ref.suite.report.document import count_states, sealed, write_json
from lcl_ref.suite.report.document import document as report_of
from lcl_ref.suite.report.looked_at import looked_at
from lcl_ref.suite.report.statement import in_toto
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import BackendRef
from lcl_ref.suite.run.settings import BackendReport
from tests.support.programs import lcl, run

STORE = Store(default_root())
IDS = ["0d/linear/no-bias", "0d/linear/position-bias", "state/call-order"]
REF = BackendRef("numpy.matmul", "registered", "numpy.matmul")
CELLS = make_plan([REF], STORE, IDS, ["float32"])[REF]
BACKENDS = [BackendReport(REF.name, "present", "numpy", "2.4.6")]
ANSWERED = [cell for cell in CELLS if cell.case in STORE.entries]
OUTCOMES = [outcome(cell, "pass", error_ratio=0.0, seconds=0.01) for cell in CELLS]
ASKED = {"tier": "full", "cases": IDS, "dtypes": ["float32"], "ops": [], "ladder": False}
HONEST = report_of(BACKENDS, OUTCOMES, STORE, looked_at(BACKENDS, OUTCOMES, STORE, naming=False), ASKED)


def refusal(report, path):
    """Return why a report is refused, by reading alone or for what is missing; None where it is not."""
    path.write_text(json.dumps(report))
    try:
        missing = missing_cells(merge.read(path), STORE)
    except LclError as error:
        return str(error)
    return str(missing[0]) if missing else None


def first(**changes):
    """Return an edit of the first row."""
    return lambda report: report["outcomes"][0].update(changes)


def backend(**changes):
    """Return an edit of the backend."""
    return lambda report: report["backends"][0].update(changes)


FORGED = {
    "a made-up case": (first(case="2d/plain/easy"), "case 2d/plain/easy"),
    "a check in an operation it is not asked in": (
        lambda report: report["outcomes"][-1].update(case="state/no-such"),
        "state/no-such",
    ),
    "a fresh case that is another layer": (first(case="fresh/1/2", spec={}, batch=2), "another layer for fresh/1/2"),
    "a name of a fresh case that is none": (first(case="fresh/x/2"), "case fresh/x/2"),
    "a made-up dtype": (first(dtype="float8"), "dtype float8"),
    "a dtype that the case is not answered in": (first(dtype="complex64"), "complex64"),
    "a ratio that does not pass": (first(error_ratio=1.5), "pass with error / limit 1.5"),
    "a ratio of whole numbers": (first(error_ratio=0.5), "whole numbers"),
    "a ratio below 0": (first(error_ratio=-0.1), "error / limit -0.1"),
    "a pass without a ratio": (first(error_ratio=None), "without error / limit"),
    "a pass that crashed": (first(error_kind="crash"), "error_kind crash"),
    "an error without a kind": (first(state="error", error_ratio=None, message="x"), "error_kind None"),
    "a failure without a reason": (first(state="fail", error_ratio=None), "fail without a message"),
    "a comparison of nothing": (first(state="unsupported", message="x"), "nothing was compared"),
    "negative seconds": (first(seconds=-1), "-1 seconds"),
    "a backend that is not there": (backend(availability="missing"), "a backend that was missing"),
    "a broken backend that passes": (backend(availability="broken"), "a backend that was broken"),
    "more cells asked than there are": (backend(asked=99), "99"),
    "a better share": (backend(asked_share=0.5), "asked_share"),
    "fresh cells that are not there": (backend(asked_fresh=8), "asked_fresh"),
    "a date to come": (lambda report: report.update(date="2999-01-01T00:00:00+00:00"), "2999"),
    "no date": (lambda report: report.update(date="yesterday"), "yesterday"),
    "a row left out": (lambda report: report["outcomes"].pop(0), "missing or too many"),
    "a row twice": (lambda report: report["outcomes"].append(report["outcomes"][0]), "1 cells twice"),
    "a backend twice": (lambda report: report["backends"].append(report["backends"][0]), "listed twice"),
    "a backend renamed in its rows": (first(backend="numpy.matmull"), "numpy.matmull"),
    "no statement of what was asked": (lambda report: report.pop("asked"), "the words that chose"),
    "another tier": (lambda report: report["asked"].update(cases=[], tier="smoke"), "missing or too many"),
    "the run of a row": (first(run="another"), "numpy.matmul of another"),
    "the run of a backend": (backend(run="another"), "of r"),
    "an operation that there is not": (first(op="backward"), "backward"),
    "an operation that the case has not": (
        lambda report: report["outcomes"][-1].update(op="transpose", dtype="float64"),
        "missing or too many",
    ),
    "a state that there is not": (first(state="great"), "great"),
    "a failure called unsupported": (
        first(state="unsupported", error_ratio=None, message="x"),
        f"asked: got {len(ANSWERED)}, expected {len(ANSWERED) - 1}",
    ),
    "a diagnosis of what passed": (first(diagnosis="a known mistake"), "pass with a diagnosis"),
    "a layer beside the golden data's": (first(spec={}, batch=2), "a layer of its own"),
    "a mistake that nobody knows": (backend(not_seen=["no such mistake"]), "no such mistake"),
    "a share that is a word": (backend(asked_share="all"), "asked_share"),
    "a count that is a truth": (backend(asked=True), "asked"),
    "a date without its zone": (lambda report: report.update(date="2026-01-01T00:00:00"), "time zone"),
    "another form": (lambda report: report.update(format="lcl-report/2"), "lcl-report/2"),
    "more cases asked than answered": (lambda report: report["asked"].update(cases=["0d/*"]), "missing or too many"),
    "more dtypes asked": (lambda report: report["asked"].update(dtypes=["float32", "float64"]), "missing or too many"),
    "a made-up dtype asked": (lambda report: report["asked"].update(dtypes=["float8"]), "float8"),
    "fewer operations asked": (lambda report: report["asked"].update(ops=["vjp"]), "missing or too many"),
    "words that chose nothing": (lambda report: report["asked"].update(cases=["9d/*"]), "9d/*"),
    "a ladder that was not climbed": (lambda report: report["asked"].update(ladder=True), "missing or too many"),
    "a backend without rows": (
        lambda report: report["backends"].append(report["backends"][0] | {"name": "torch.fast", "asked": 0}),
        "torch.fast",
    ),
    "another release": (lambda report: report["suite"].update(released_sha256="0" * 64), "released"),
    "other golden data": (lambda report: report["suite"].update(fixtures_sha256="0" * 64), None),
}
"""Edit -> what it is, and why it is refused when counts and seal are put right again."""


def edited(edit):
    """Return the honest report after an edit, with the counts and the seal it should then have."""
    report = copy.deepcopy(HONEST)
    edit(report)
    if edit is not FORGED["a row left out"][0]:
        report["summary"] = count_states(row["state"] for row in report["outcomes"])
        return sealed(report)
    golden = [row for row in report["outcomes"] if row["case"] in STORE.entries]
    report["backends"][0].update(asked=len(golden))
    report["summary"] = count_states(row["state"] for row in report["outcomes"])
    return sealed(report)


def test_there_are_more_than_forty():
    assert len(FORGED) > 40


def test_an_honest_report_holds_together(tmp_path):
    assert refusal(HONEST, tmp_path / "r.json") is None


@pytest.mark.parametrize("name", [name for name, (_, words) in FORGED.items() if words])
def test_an_edit_is_refused_even_with_counts_and_seal_put_right(name, tmp_path):
    edit, words = FORGED[name]
    assert words in (refusal(edited(edit), tmp_path / "r.json") or "")


@pytest.mark.parametrize("name", FORGED)
def test_an_edit_alone_breaks_the_seal_or_something_else(name, tmp_path):
    report = copy.deepcopy(HONEST)
    FORGED[name][0](report)
    assert refusal(report, tmp_path / "r.json") is not None


def test_a_ladder_is_right_up_to_the_first_rung_that_does_not_hold(tmp_path):
    report = copy.deepcopy(HONEST)
    report["asked"].update(ladder=True, cases=["0d/linear/no-bias", "0d/groups/*"])
    report["outcomes"] = [row for row in report["outcomes"] if row["case"] == "0d/linear/no-bias"]
    count = len(report["outcomes"])
    report["backends"][0].update(asked=count)

    def ended(**row):
        report["outcomes"][0].update(row)
        report["summary"] = count_states(one["state"] for one in report["outcomes"])
        return refusal(sealed(report), tmp_path / "r.json")

    assert "missing or too many" in ended()
    assert ended(state="fail", error_ratio=None, message="wrong") is None


def test_a_seal_that_was_removed_is_missed(tmp_path):
    report = {name: value for name, value in HONEST.items() if name != "seal"}
    assert "no seal" in refusal(report, tmp_path / "r.json")


def test_merge_and_html_refuse_what_verify_refuses_and_other_data_is_told(tmp_path):
    path, forged, other = (tmp_path / f"{name}.json" for name in ("r", "forged", "other"))
    write_json(path, HONEST)
    write_json(forged, edited(FORGED["a made-up case"][0]))
    write_json(other, edited(FORGED["other golden data"][0]))
    done = lcl("report", "verify", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the set of lcl-ref" in done.stdout
    for words in (["merge", forged, "-o", tmp_path / "m.json"], ["html", forged, "-o", tmp_path / "p.html"]):
        done = lcl("report", *words)
        assert (done.returncode, "case 2d/plain/easy" in done.stderr) == (2, True)
    done = lcl("report", "verify", other)
    assert (done.returncode, "golden data 0000" in done.stderr) == (2, True)


def test_an_audit_asks_again_and_tells_a_verdict_that_is_not_true(tmp_path):
    report = copy.deepcopy(HONEST)
    report["outcomes"][0] |= {"state": "fail", "error_ratio": None, "message": "wrong"}
    report["summary"] = count_states(row["state"] for row in report["outcomes"])
    write_json(tmp_path / "r.json", sealed(report))
    done = lcl("report", "audit", tmp_path / "r.json", "-b", REF.name, "--share", 1)
    assert done.returncode == 1, done.stderr
    assert "fail in the report, pass now" in done.stdout
    assert f"{len(CELLS)} cells asked again, 1 came out otherwise" in done.stdout


def test_a_report_is_signed_and_checked_with_an_ordinary_tool(tmp_path):
    path, key, allowed = (tmp_path / name for name in ("r.json", "key", "allowed"))
    write_json(path, HONEST)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, check=True)
    run("ssh-keygen", "-Y", "sign", "-n", "lcl-report", "-f", key, path, check=True)
    allowed.write_text(f"author {key.with_suffix('.pub').read_text()}")
    check = ["ssh-keygen", "-Y", "verify", "-n", "lcl-report", "-f", allowed, "-I", "author"]
    check += ["-s", tmp_path / "r.json.sig"]
    assert run(*check, input=path.read_text()).returncode == 0
    assert run(*check, input=path.read_text().replace("0.01", "0.02", 1)).returncode != 0


def test_a_statement_names_the_report_and_what_passed(tmp_path):
    write_json(tmp_path / "r.json", HONEST)
    statement = in_toto(tmp_path / "r.json", merge.read(tmp_path / "r.json"))
    assert statement["predicate"]["result"] == "PASSED"
    assert len(statement["predicate"]["passedTests"]) == len(CELLS)
    (subject,) = statement["subject"]
    digest = run("sha256sum", tmp_path / "r.json", check=True).stdout.split()[0]
    assert subject == {"name": "r.json", "digest": {"sha256": digest}}
