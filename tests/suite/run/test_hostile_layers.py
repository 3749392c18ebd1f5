"""Layers that do harm, by mistake or not: each is that layer's outcome, and the others are judged as ever."""

import json
from pathlib import Path

import pytest

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.outcome import Outcome
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings
from tests.support.programs import run
from tests.support.tables import table

EXPECTED = table(__file__, "outcomes.toml")["hostile"]
CASES = ["0d/linear/no-bias", "0d/linear/position-bias"]


@pytest.fixture(scope="module")
def outcomes():
    """Return the outcomes of each layer, all asked in one run."""
    file = Path(__file__).with_name("hostile_layers.py")
    refs = resolve([f"{file}:{name}" for name in EXPECTED])
    plan = make_plan(refs, Store(default_root()), CASES, ["float32"], ["forward"])
    found = {name: [] for name in EXPECTED}
    with MatrixRun(plan, Settings(default_root(), 2, 30.0)) as matrix:
        for event in matrix:
            if isinstance(event, Outcome):
                found[event.backend.rpartition(":")[2]].append(event)
    assert not [line for line in run("ps", "-eo", "args").stdout.splitlines() if line == "sleep 3601"]
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_a_layer_gets_its_own_outcome_for_each_cell_once(outcomes, name):
    state, kind, words = EXPECTED[name]
    mine = outcomes[name]
    assert sorted(one.case for one in mine) == CASES
    if state == "pass":
        assert {one.state for one in mine} == {"pass"}, mine
        return
    wrong = [one for one in mine if one.state == "error"]
    assert wrong, mine
    assert {one.error_kind for one in wrong} == {kind}, mine
    assert words in wrong[0].message


def test_every_message_can_be_written_and_is_short(outcomes):
    for one in (one for mine in outcomes.values() for one in mine):
        assert len(one.message) < 5000
        json.dumps(one.to_dict(), ensure_ascii=False, allow_nan=False).encode()
        assert one.message.isprintable()
