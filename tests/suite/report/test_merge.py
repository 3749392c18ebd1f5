"""`lcl report`: what merges, what is refused, what a difference is, and what the page shows."""

import copy
import itertools
import json

import pytest

from lcl_ref.errors import LclError
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Cell, outcome
from lcl_ref.suite.report import history, merge
from lcl_ref.suite.report.document import as_json, count_states, sealed, write_json
from lcl_ref.suite.report.document import document as report_of
from lcl_ref.suite.report.pages.report import page
from lcl_ref.suite.run.settings import BackendReport
from tests.support.programs import lcl

CASES = ("2d/plain/channel-bias", "0d/linear/no-bias", "0d/linear/position-bias", "1d/padding/int")
CELLS = [Cell("torch.loop", name, "forward", "float32") for name in CASES]
BASE = report_of(
    [BackendReport("torch.loop", "present", "torch", "2.13.0")],
    [outcome(cell, "pass", error_ratio=0.0, seconds=0.1) for cell in CELLS],
    Store(default_root()),
)


WRONG = {"error_ratio": None, "message": "for a reason"}
OTHERWISE = {
    "pass": {"state": "pass"},
    "fail": {"state": "fail"} | WRONG,
    "error": {"state": "error", "error_kind": "crash"} | WRONG,
    "unsupported": {"state": "unsupported"} | WRONG,
    "not_run": {"state": "not_run"} | WRONG,
}
"""State -> what a row in it says."""


def changed(states=(), machine=None, digest=None, version="2.13.0"):
    """Return the base report with other states for the first cells, or other surroundings."""
    document = copy.deepcopy(BASE)
    for row, state in zip(document["outcomes"], states, strict=False):
        row.update(OTHERWISE[state])
    document["summary"] = count_states(row["state"] for row in document["outcomes"])
    document["machine"] |= machine or {}
    document["suite"]["fixtures_sha256"] = digest or document["suite"]["fixtures_sha256"]
    document["backends"][0]["version"] = version
    return sealed(document)


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a document under a name and returns the path."""

    def written(name, document):
        path = tmp_path / f"{name}.json"
        write_json(path, document)
        return path

    return written


METAL = {"system": "Darwin", "release": "25.1", "machine": "arm64", "driver": "Metal 4"}


def test_every_cell_keeps_its_machine_driver_versions_and_date(write):
    merged = merge.merge([write("linux", BASE), write("metal", changed(["fail"], METAL, version="2.14.0"))])
    assert merged["summary"] == {"pass": 7, "fail": 1, "error": 0, "unsupported": 0, "not_run": 0}
    runs = {run["label"]: run for run in merged["runs"]}
    versions = {(backend["run"], backend["name"]): backend["version"] for backend in merged["backends"]}
    (wrong,) = [row for row in merged["outcomes"] if row["state"] == "fail"]
    run = runs[wrong["run"]]
    assert (run["machine"]["system"], run["machine"]["driver"], run["date"]) == ("Darwin", "Metal 4", BASE["date"])
    assert versions[wrong["run"], wrong["backend"]] == "2.14.0"
    assert run["version"] == BASE["suite"]["version"]


def test_the_order_of_the_files_changes_no_byte(write):
    files = [write("linux", BASE), write("metal", changed(machine=METAL))]
    assert as_json(merge.merge(files)) == as_json(merge.merge(files[::-1]))


def test_a_merged_report_merges_further(write):
    both = merge.merge([write("linux", BASE), write("metal", changed(machine=METAL))])
    three = merge.merge([write("both", both), write("cuda", changed(machine={"driver": "NVRM 600"}))])
    assert [run["label"] for run in three["runs"]] == ["cuda", "linux", "metal"]
    assert len(three["outcomes"]) == 12


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (changed(machine=METAL, digest="0" * 64), "golden data 0000000000000000"),
        (changed(), "from the same machine, expected .* `--newest` keeps what was answered last"),
    ],
)
def test_what_does_not_belong_together_is_refused(write, other, message):
    with pytest.raises(LclError, match=message):
        merge.merge([write("linux", BASE), write("other", other)])


def test_one_machine_may_answer_with_two_versions(write):
    assert len(merge.merge([write("old", BASE), write("new", changed(version="2.14.0"))])["outcomes"]) == 8


DAYS = ["2026-01-02T09:00:00+02:00", "2026-01-02T08:00:00+00:00", "2026-01-03T00:00:00+00:00"]
"""Dates in their order, which is not that of their texts."""


def on(day, *states, keep=None, **surroundings):
    """Return the base report of a day, or its first rows."""
    document = changed(states, **surroundings)
    document["outcomes"] = document["outcomes"][:keep]
    document["summary"] = count_states(row["state"] for row in document["outcomes"])
    return sealed(document | {"date": DAYS[day]})


def test_the_newest_answers_of_a_machine_replace_those_before_and_others_keep_their_age(write):
    away = changed(machine=METAL)
    both = merge.merge([write("linux", on(0, "fail")), write("metal", sealed(away | {"date": DAYS[0]}))])
    files = [write("old", both), write("second", on(1, "fail", "fail")), write("new", on(2))]
    whole = merge.merge(files, only_newest=True)
    assert [run["label"] for run in whole["runs"]] == ["metal", "new"]
    assert whole["summary"]["pass"] == len(whole["outcomes"]) == 2 * len(CELLS)
    assert {run["label"]: run["date"] for run in whole["runs"]} == {"metal": DAYS[0], "new": DAYS[2]}
    for order in itertools.permutations(files):
        assert as_json(merge.merge(order, only_newest=True)) == as_json(whole)
        part = write("part", merge.merge(order[:2], only_newest=True))
        assert as_json(merge.merge([part, order[2]], only_newest=True)) == as_json(whole)


def test_the_newest_of_two_parts_is_both(write):
    first, rest = on(0, keep=2), on(1)
    del rest["outcomes"][:2]
    rest = sealed(rest | {"summary": count_states(["pass"] * 2)})
    assert len(merge.merge([write("first", first), write("rest", rest)], only_newest=True)["outcomes"]) == len(CELLS)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (on(1, keep=3), "torch.loop of old: got 1 cells that no later run has answered, such as torch.loop 1d/"),
        (on(1, "not_run"), "such as torch.loop 2d/plain/channel-bias forward float32, expected none, or all"),
    ],
)
def test_a_later_report_that_lacks_some_cells_replaces_none(write, later, message):
    with pytest.raises(LclError, match=message):
        merge.merge([write("old", on(0)), write("new", later)], only_newest=True)


def test_what_was_not_run_is_replaced_by_an_answer_and_by_itself(write):
    found = merge.merge(
        [write("old", on(0, "not_run", "not_run")), write("new", on(1, "pass", "not_run"))], only_newest=True
    )
    assert ([run["label"] for run in found["runs"]], found["summary"]["not_run"]) == (["new"], 1)


def test_labels_must_differ(write, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    write_json(tmp_path / "elsewhere" / "linux.json", changed(machine=METAL))
    with pytest.raises(LclError, match="'linux' 2 times"):
        merge.merge([write("linux", BASE), tmp_path / "elsewhere" / "linux.json"])


def test_a_file_cut_off_anywhere_is_refused(write, tmp_path):
    text = write("linux", BASE).read_text()
    for end in range(1, len(text) - 1, 37):
        (tmp_path / "cut.json").write_text(text[:end])
        with pytest.raises(LclError, match="cut off"):
            merge.read(tmp_path / "cut.json")


def repeat_row(document):
    document["outcomes"].append(document["outcomes"][0])
    document["summary"]["pass"] += 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda document: document["outcomes"].pop(1), "cut off, or edited"),
        (repeat_row, "1 cells twice, such as"),
        (lambda document: document["outcomes"][0].update(backend="torch.lop"), "torch.lop of x"),
        (lambda document: document["outcomes"][2].update(state="passed"), r'x.json: outcomes\[2\].state: got "passed"'),
        (lambda document: document.pop("date"), "no field 'date'"),
        (lambda document: document.update(format="lcl-report/2"), "format 'lcl-report/2'"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(write, damage, message):
    document = copy.deepcopy(BASE)
    damage(document)
    document = sealed(document)
    with pytest.raises(LclError, match=message):
        merge.read(write("x", document))


@pytest.mark.parametrize(
    ("was", "now", "change", "worse"),
    [
        ("pass", "fail", "regressed", True),
        ("pass", "error", "regressed", True),
        ("pass", "not_run", "regressed", True),
        ("pass", "unsupported", "newly unsupported", True),
        ("fail", "pass", "fixed", False),
        ("error", "pass", "fixed", False),
        ("unsupported", "pass", "newly supported", False),
        ("not_run", "pass", "newly supported", False),
        ("fail", "error", "changed", False),
        ("pass", "pass", None, False),
    ],
)
def test_changes_have_names_and_an_exit_status(write, was, now, change, worse):
    before, after = write("before", changed([was])), write("after", changed([now]))
    found = merge.difference(before, after)
    assert {name: len(cells) for name, cells in found.changes.items()} == ({change: 1} if change else {})
    done = lcl("report", "diff", before, after)
    assert (found.worse, done.returncode) == (worse, int(worse))
    if change:
        assert f"{change}: 1\n  torch.loop 2d/plain/channel-bias forward float32" in done.stdout


def test_cells_that_come_and_go_are_told(write):
    fewer = changed()
    del fewer["outcomes"][0]
    fewer["summary"]["pass"] -= 1
    whole, part = write("whole", BASE), write("part", sealed(fewer))
    assert set(merge.difference(whole, part).changes) == {"no longer asked"}
    assert set(merge.difference(part, whole).changes) == {"new"}
    assert lcl("report", "diff", whole, part).returncode == 1


def test_merged_reports_are_compared_run_by_run(write):
    before = merge.merge([write("linux", BASE), write("metal", changed(machine=METAL))])
    after = merge.merge([write("linux", BASE), write("metal", changed(["fail"], METAL))])
    found = merge.difference(write("before", before), write("after", after))
    assert [key for key, _, _ in found.changes["regressed"]] == [
        ("metal", *("torch.loop", "2d/plain/channel-bias", "forward", "float32"))
    ]


def test_different_golden_data_cannot_be_compared(write):
    done = lcl("report", "diff", write("a", BASE), write("b", changed(digest="0" * 64)))
    assert done.returncode == 2
    assert "golden data" in done.stderr


def test_the_commands_write_what_they_say(write, tmp_path):
    paths = write("linux", BASE), write("metal", changed(["fail"], METAL))
    done = lcl("report", "merge", *paths, "-o", tmp_path / "both.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "both.json").read_text()) == merge.merge(paths)
    done = lcl("report", "merge", "--newest", write("again", BASE), *paths, "-o", tmp_path / "newest.json")
    assert f"{2 * len(CELLS)} cells of" in done.stdout
    assert lcl("report", "html", tmp_path / "both.json", "-o", tmp_path / "both.html").returncode == 0
    text = (tmp_path / "both.html").read_text()
    shown = ("torch.loop on metal", "torch.loop on linux", "Darwin 25.1 arm64", "Metal 4", BASE["date"])
    assert [words for words in shown if words not in text] == []


def test_a_single_report_is_a_page_without_labels():
    text = page(BASE)
    assert ">torch.loop</a>" in text
    assert BASE["machine"]["system"] in text


def test_a_page_of_two_reports_has_every_change_with_its_address(write, tmp_path):
    before, after = write("before", BASE), write("after", changed(["fail", "unsupported"]))
    done = lcl("report", "diff", before, after, "--html", tmp_path / "d.html")
    assert done.returncode == 1
    text = (tmp_path / "d.html").read_text()
    address = "torch.loop/2d/plain/channel-bias/forward/float32"
    assert f'id="{address}"' in text
    assert f'href="#{address}"' in text
    assert ("regressed: 1" in text, "newly unsupported: 1" in text, "after: for a reason" in text) == (True, True, True)
    same = lcl("report", "diff", before, before, "--html", tmp_path / "s.html")
    assert same.returncode == 0
    assert "No cell changed its state." in (tmp_path / "s.html").read_text()


def test_a_page_is_not_written_over_a_report(write):
    before, after = write("before", BASE), write("after", BASE)
    done = lcl("report", "diff", before, after, "--html", after)
    assert done.returncode == 2
    assert json.loads(after.read_text()) == BASE


def test_history_puts_reports_in_the_order_of_their_dates(write, tmp_path):
    later = sealed(changed(["fail"]) | {"date": "2026-03-01T00:00:00+00:00"})
    first = sealed(changed() | {"date": "2026-01-01T00:00:00+00:00"})
    other = sealed(changed(["unsupported"], digest="0" * 64) | {"date": "2026-04-01T00:00:00+00:00"})
    for name, report in (("a", later), ("b", first), ("c", other)):
        write(name, report)
    entries = history.read_folder(tmp_path)
    assert [entry.label for entry in entries] == ["b", "a", "c"]
    steps = list(history.steps(entries))
    assert [{name: len(cells) for name, cells in step.changes.items()} for step in steps] == [
        {"regressed": 1},
        {"changed": 1},
    ]
    assert [step.same_data for step in steps] == [True, False]
    done = lcl("report", "history", tmp_path, "--html", tmp_path / "h.html")
    assert done.stdout.splitlines()[2].startswith("  regressed: 1, such as torch.loop 2d/plain/channel-bias")
    text = (tmp_path / "h.html").read_text()
    assert "b → a" in text
    assert "Other golden data" in text


def test_a_folder_without_reports_is_one_line(tmp_path):
    done = lcl("report", "history", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
