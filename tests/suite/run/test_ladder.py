"""`lcl run --ladder`, and the name of the mistake under a failure of `lcl run`."""

import json
from collections import Counter
from pathlib import Path

import pytest

from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.run.drawn_cases import is_fresh
from lcl_ref.suite.run.ladder import LADDER, rung_of
from tests.support.programs import lcl

LAYERS = Path(__file__).with_name("wrong_layers.py")


@pytest.fixture
def run(tmp_path):
    def call(name, *words):
        done = lcl("run", "-b", f"{LAYERS}:{name}", "--json", "report.json", *words, cwd=tmp_path)
        return done.returncode, done.stdout, json.loads((tmp_path / "report.json").read_text())

    return call


def test_every_case_stands_on_a_rung_and_every_rung_has_cases():
    members = Counter(rung_of(case) for case in CASES)
    assert set(members) == set(LADDER)


def test_no_two_rungs_take_the_same_topic_and_rank():
    places = [(topic, rank) for rung in LADDER for topic in rung.topics for rank in rung.ranks]
    assert len(places) == len(set(places))


def test_a_right_layer_climbs_to_the_top(run):
    status, out, _ = run("right", "--ladder", "--dtype", "float32")
    assert status == 0
    assert out.count("holds") == sum(rung.topics != ("complex",) for rung in LADDER)


def test_the_climb_stops_at_the_first_concept_that_fails_and_says_what_to_read(run):
    status, out, report = run("strides_backwards", "--ladder", "--dtype", "float32", "--no-diagnose")
    assert status == 1
    assert "breaks stride" in out
    assert "read SPEC.md, clauses 1.2 and 1.5" in out
    assert "lcl explain 1d/stride/" in out
    asked = {outcome["case"].split("/")[1] for outcome in report["outcomes"]}
    assert asked == {"linear", "groups", "plain", "kernel", "stride"}


def test_a_failure_carries_the_name_of_the_mistake(run):
    status, out, report = run("forgets_the_bias", "--tier", "smoke")
    assert status == 1
    assert "diagnosis: explains" in out
    wrong = [outcome for outcome in report["outcomes"] if outcome["state"] == "fail" and not is_fresh(outcome["case"])]
    assert {outcome["diagnosis"] for outcome in wrong} == {"bias/dropped"}
    assert {outcome["diagnosis"] for outcome in report["outcomes"] if outcome["state"] == "pass"} == {None}
