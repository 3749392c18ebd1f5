"""Every gate beside the kill matrix is whole, and one that is not says what it lacks."""

from __future__ import annotations

from functools import cache

from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.checks.orders import ORDERS
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.run.user_layer import UserAdapter
from lcl_ref.suite.validation import families
from lcl_ref.suite.validation.gates import _gate, _sizes, gates
from lcl_ref.suite.validation.history import recall
from lcl_ref.suite.validation.history.catalogue import bugs
from lcl_ref.suite.validation.misreading import MISREADING, Layer
from tests.support.kills import STORE


@cache
def counted():
    """All gates; what is counted elsewhere is handed over, and one mistake, one triple and one bug are missing."""
    survivor = families.Survivor(families.FAMILIES[0], "padding/ignored", "forward")
    triples = {(("rank", "1"), ("stride", "unit")): ["a case"], (("rank", "1"), ("stride", "gaps")): []}
    history = [recall.Seen(bug, "", "a case" * (number > 0)) for number, bug in enumerate(bugs()[:3])]
    return {gate.name: gate for gate in gates(STORE, families.Seen(3, (survivor,)), triples, history)}


def test_gates_of_sizes_memory_state_and_values_are_whole() -> None:
    assert list(counted()) == ["triples", "families", "sizes", "memory", "state", "values", "history"]
    whole = [gate for name, gate in counted().items() if name not in ("triples", "families", "history")]
    assert [(gate.name, gate.missing) for gate in whole if gate.missing or gate.held != gate.of] == []
    assert min(gate.of for gate in whole) >= 20


def test_what_is_missing_is_named() -> None:
    families_gate, triples = counted()["families"], counted()["triples"]
    assert (families_gate.held, families_gate.of) == (3, 4)
    assert families_gate.missing[0].startswith("padding/ignored: forward killed by no case of the family")
    assert (triples.held, triples.of, triples.missing) == (1, 2, ("rank 1, stride gaps",))
    history = counted()["history"]
    assert (history.held, history.of) == (2, 3)
    assert history.missing == (
        f"{bugs()[0].id}: nothing sees it, and no reason is given",
        "2 of 3 bugs are seen, promised 95%",
    )


def test_a_size_without_a_case_is_named() -> None:
    fewer = [case for case in CASES if "/batch-" not in case.id]
    gate = _gate("sizes", "", _sizes(fewer))
    assert gate.held == gate.of - len(gate.missing)
    assert set(gate.missing) == {
        f"batch {side} {size}" for side in ("just below", "of", "just above") for size in (32, 64)
    }


def test_layers_that_misread_memory_are_right_elsewhere() -> None:
    assert MISREADING.keys() == ORDERS.keys()
    for layer in (Layer(), MISREADING["strided"]):
        examiner = Examiner(UserAdapter("layer", layer), STORE, 0, alone=False)
        orders = [order for order in ORDERS if layer is not MISREADING["strided"] or order != "strided"]
        assert {examiner.judge(Cell("layer", f"memory/{order}", "vjp", "float32")).state for order in orders} == {
            "pass"
        }
