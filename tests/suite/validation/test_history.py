"""The catalogue of public bugs: each is a layer that is wrong where the bug shows, and nearly all of them are seen."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from lcl_ref.errors import LclError
from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import CORE
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.orders import ORDERS
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.validation.history import catalogue, recall, triggers
from lcl_ref.suite.validation.history.catalogue import KINDS, bugs
from lcl_ref.suite.validation.history.memory import LAID, storage
from tests.support.kills import STORE

LEAST = 60
SPEC = CASES[[case.id for case in CASES].index("2d/padding/int-per-axis")].spec
BY_ITSELF = [one for one in recall.stored() if one.full and (not one.bug.after or one.full.split()[0] in CHECKS)]
BUG = bugs()[1]


def test_there_are_enough_of_every_kind_and_of_every_result() -> None:
    assert len(bugs()) >= LEAST
    assert {bug.kind for bug in bugs()} == KINDS.keys()
    assert {name for bug in bugs() for name in bug.results} == {"y", "dx", "dw", "db"}
    assert len({bug.id.partition("#")[0] for bug in bugs()}) >= 30


def test_each_has_its_thread_and_its_sentence() -> None:
    for bug in bugs():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", bug.id), bug.id
        assert bug.title, bug.id
        assert not bug.wrong.endswith("."), bug.id


def test_nearly_all_are_seen_and_the_others_have_a_reason() -> None:
    assert [one.bug.id for one in recall.stored()] == [bug.id for bug in bugs()]
    assert recall.unexplained(recall.stored()) == []


@pytest.mark.parametrize("one", BY_ITSELF, ids=[one.bug.id for one in BY_ITSELF])
def test_what_saw_a_bug_sees_it_still(one: recall.Seen) -> None:
    assert recall.shows(STORE, one.bug, one.full)
    case = one.full.split()[0]
    assert bool(one.core) == (case in CORE or case in CHECKS)


def test_nothing_is_wrong_where_a_bug_does_not_show() -> None:
    """In the cell in which it shows, a layer passes whose trigger does not hold."""
    for one in BY_ITSELF[::8]:
        quiet = replace(one.bug, when=("batch > 1000000",))
        assert not recall.shows(STORE, quiet, one.full), one.bug.id


def test_a_bug_that_nothing_sees_is_noticed() -> None:
    unseen, denied = recall.Seen(BUG, "", ""), recall.Seen(replace(BUG, miss="a reason"), "", "a cell")
    assert "no reason is given" in recall.unexplained([unseen])[0]
    assert "promised 95%" in recall.unexplained([unseen])[-1]
    assert "which `miss` denies" in recall.unexplained([denied])[0]
    assert recall.unexplained([recall.Seen(BUG, "", "a cell")]) == []


@pytest.mark.parametrize("condition", ["stride >", "colour = 3", "stride ~ 3", "stride > 1 > 0"])
def test_what_is_no_condition_is_an_error_that_says_what_is(condition: str) -> None:
    with pytest.raises(LclError, match="a condition on rank, batch"):
        triggers.holds([condition], SPEC, 2, "float32")


def test_conditions() -> None:
    assert triggers.holds(["rank = 2", "in_channels % 3 = 0", "axis > shortest_axis"], SPEC, 2, "float32") == (
        SPEC.in_channels % 3 == 0
    )
    assert triggers.holds(["dtype = float16", "bias = position"], SPEC, 2, "float16") == (SPEC.bias == "position")
    assert not triggers.holds(["batch != 2"], SPEC, 2, "float32")


@pytest.mark.parametrize("table", [{}, {"deviates": "a", "reads": "b"}, {"where": "a"}, {"reads": "b", "kind": "odd"}])
def test_what_is_no_bug_is_an_error(table: dict[str, str]) -> None:
    with pytest.raises(LclError, match="a bug with one mistake and a known kind"):
        catalogue._bug("a/b#1", {"kind": "size"} | table)


def test_what_a_pointer_reads() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(storage(array), array)
    assert np.array_equal(storage(array.transpose()).ravel(), array.ravel())
    assert storage(array[:, ::2, ::-1]).ravel()[:5].tolist() == [0, 1, 2, 3, 4]
    assert set(storage(np.broadcast_to(array[:1], (2, 3, 4))).ravel().tolist()) == set(range(12))


def test_every_word_for_how_an_array_lies_is_one_of_the_orders_that_are_asked() -> None:
    plain = np.arange(96.0).reshape(4, 2, 3, 4)
    assert not any(lies(plain) for lies in LAID.values())
    for words, lies in LAID.items():
        assert any(lies(lay(array)) for lay in ORDERS.values() for array in (plain, plain[:1])), words


@pytest.mark.slow
def test_the_stored_table_is_what_a_run_would_find() -> None:
    assert [recall.seen(STORE, bug) for bug in bugs()] == recall.stored()


def test_checks_are_asked_where_memory_or_calls_matter() -> None:
    bug = next(bug for bug in bugs() if bug.laid)
    assert Cell(bug.id, "memory/transposed", bug.ops[0], "float32") in recall.checks_of(bug)
    assert list(recall.checks_of(BUG)) == []
