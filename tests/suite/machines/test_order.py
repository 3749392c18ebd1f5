"""Neither the order in which machines answer nor that of the files that are merged changes a byte of a report."""

import itertools
from dataclasses import replace

import pytest

from lcl_ref.errors import LclError
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.machines.messages import Answer, answering, collected
from lcl_ref.suite.report import merge
from lcl_ref.suite.report.document import as_json, document, machine, sealed, write_json
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import load, resolve
from lcl_ref.suite.run.settings import BackendReport

STORE = Store(default_root())
REFS = resolve(["numpy.fast", "numpy.loop", "numpy.channel_loop"])
PLAN = make_plan(REFS, STORE, ["1d/padding/int", "1d/rounded/plain"])


@pytest.fixture(scope="module")
def answers():
    """What three machines, each asked another backend, really answered."""
    found = []
    for number, (ref, cells) in enumerate(PLAN.items()):
        evaluator, name = Evaluator(load(ref), STORE), f"m{number}"
        outcomes = [evaluator.judge(cell) for cell in cells]
        found.append(Answer(name, machine() | {"cores": number}, BackendReport(ref.name, machine=name), outcomes))
    return found


def report_of(answers, date="2026-01-01T00:00:00+00:00"):
    reports, outcomes, _ = collected(PLAN, answers)
    return sealed(document(reports, outcomes, STORE, machines=answering(answers)) | {"date": date})


def test_answers_make_the_same_report_in_whatever_order_they_come(answers):
    assert sum(len(one.outcomes) for one in answers) > 20
    assert len({as_json(report_of(order)) for order in itertools.permutations(answers)}) == 1


@pytest.fixture(scope="module")
def files(answers, tmp_path_factory):
    """A report of all three, and of each of two others alone, of another day each."""
    folder = tmp_path_factory.mktemp("reports")
    others = [
        replace(one, machine=f"n{number}", report=replace(one.report, machine=f"n{number}"))
        for number, one in enumerate(answers[:2])
    ]
    paths = []
    for day, each in enumerate([answers, *([one] for one in others)], 1):
        paths.append(folder / f"day-{day}.json")
        write_json(paths[-1], report_of(each, f"2026-01-{day:02}T00:00:00+00:00"))
    return paths


def test_files_make_the_same_merged_report_in_whatever_order_they_come(files, tmp_path):
    whole = as_json(merge.merge(files))
    assert {as_json(merge.merge(order)) for order in itertools.permutations(files)} == {whole}
    write_json(tmp_path / "part.json", merge.merge(files[1:]))
    assert as_json(merge.merge([tmp_path / "part.json", files[0]])) == whole


def test_cells_of_a_machine_that_is_away_keep_their_age(files):
    merged = merge.merge(files[:2])
    dates = {run["label"]: run["date"][:10] for run in merged["runs"]}
    machines = {run["label"]: sorted(run["machines"]) for run in merged["runs"]}
    ages = {(one["machine"], dates[one["run"]]) for one in merged["backends"]}
    assert machines == {"day-1": ["m0", "m1", "m2"], "day-2": ["n0"]}
    assert ages == {("m0", "2026-01-01"), ("m1", "2026-01-01"), ("m2", "2026-01-01"), ("n0", "2026-01-02")}


def test_a_later_report_of_the_machines_that_are_there_leaves_the_one_that_is_away_its_age(answers, files, tmp_path):
    later = tmp_path / "day-4.json"
    write_json(later, report_of(answers[:2], "2026-01-04T00:00:00+00:00"))
    with pytest.raises(LclError, match="--newest"):
        merge.merge([files[0], later])
    merged = merge.merge([later, files[0]], only_newest=True)
    assert {(one["machine"], one["run"]) for one in merged["backends"]} == {
        ("m0", "day-4"),
        ("m1", "day-4"),
        ("m2", "day-1"),
    }
    assert len(merged["outcomes"]) == sum(len(one.outcomes) for one in answers)
