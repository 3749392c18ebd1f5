"""The smaller tiers hold what they promise, and no case that they could do without."""

from __future__ import annotations

import json

import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases.catalogue import CASES, select
from lcl_ref.suite.cases.tiers import CORE, FIRST, SMOKE, TIERS, asks, in_order, in_tier, tier_of
from lcl_ref.suite.formats import DTYPES
from lcl_ref.suite.run import registry
from lcl_ref.suite.validation import coverage
from lcl_ref.suite.validation.mutants import PROMISED, kill_matrix
from tests.support.covering import cheapest, choose_core, choose_smoke, layers, prices
from tests.support.kills import STORE, matrix
from tests.support.marks import quick
from tests.support.programs import lcl as program


def pairs() -> dict[coverage.Together, list[str]]:
    return coverage.coverage(STORE.entries.values())


def anew() -> str:
    """What to write into the file, where the tiers no longer suffice."""
    smoke = choose_smoke(matrix(), layers(STORE))
    core = choose_core(matrix(), layers(STORE), smoke, pairs().values())
    added = {
        "smoke": [name for name in smoke if name not in FIRST],
        "core": [name for name in core if name not in smoke],
    }
    return "write into lcl_ref/suite/cases/tiers.toml: " + "; ".join(f"{tier} = {ids}" for tier, ids in added.items())


@pytest.mark.parametrize("tier", quick(PROMISED, "smoke"))
def test_a_run_kills_every_deviation_in_every_operation(tier: str) -> None:
    """By itself: whether old weights are kept shows only where cases follow each other."""
    alone = kill_matrix(STORE, select(in_tier(tier))).killers_by_op
    short = [seen for seen in matrix().killers_by_op if len(alone.get(seen, ())) < PROMISED[tier]]
    assert short == [], anew()


def test_core_asks_for_every_pair_in_the_dtypes_it_takes() -> None:
    asked: set[coverage.Together] = set()
    for case in select(CORE):
        taken = [dtype for dtype in DTYPES if asks("core", case, dtype)]
        asked |= coverage.asked_by(STORE.entries[case.id], dtypes=taken)
    assert [pair for pair in pairs() if pair not in asked] == [], anew()


@pytest.mark.slow
def test_no_cheaper_tier_would_do() -> None:
    """As the solver finds; of several that cost the same, any."""
    asked = layers(STORE)
    price = prices(asked)
    core = choose_core(matrix(), asked, SMOKE, pairs().values())
    for stored, best in ((SMOKE, choose_smoke(matrix(), asked)), (CORE, core)):
        assert sum(price[name] for name in stored) == sum(price[name] for name in best), anew()
    assert len(CORE) < len(CASES) / 3


def test_tiers_lie_in_each_other_and_name_cases() -> None:
    assert set(FIRST) <= set(SMOKE) <= set(CORE) <= {case.id for case in CASES}
    assert [in_tier(tier) for tier in TIERS] == [list(SMOKE), list(CORE), [case.id for case in CASES]]
    assert {tier_of(case) for case in select(CORE)} == {"smoke", "core"}
    assert tier_of(select(["2d/plain/tall-kernel"])[0]) == "smoke"


def test_an_id_of_no_case_is_refused() -> None:
    with pytest.raises(lcl.LclError, match=r"tiers.toml: case: got 1d/plain/odd, expected ids that `lcl cases` lists"):
        in_order(SMOKE, ["1d/plain/odd"])


def test_a_tier_without_a_matching_case_is_refused() -> None:
    assert in_tier("smoke", ["2d/plain/*"]) == ["2d/plain/tall-kernel"]
    with pytest.raises(lcl.LclError, match="tier smoke"):
        in_tier("smoke", ["1d/padding/causal"])


def test_smoke_asks_every_adapter_something() -> None:
    asked = {layer.adapter for layer in layers(STORE) if layer.case in SMOKE}
    assert asked == {declaration.name for declaration in registry.declarations() if not declaration.by_name}


def test_the_cheapest_cover_meets_every_need_that_can_be_met() -> None:
    ids = [case.id for case in CASES[:4]]
    price = dict.fromkeys((case.id for case in CASES), 1)
    needs = [(frozenset(ids[:2]), 1), (frozenset(ids[1:3]), 2), (frozenset(ids[3:4]), 2), (frozenset(), 1)]
    assert set(cheapest(needs, price)) == set(ids[1:])
    assert cheapest([(frozenset(ids[:2]), 1)], price | {ids[0]: 2}) == (ids[1],)


def test_the_commands_take_a_tier() -> None:
    listed = json.loads(program("cases", "--tier", "smoke", "--json", check=True).stdout)
    assert [case["id"] for case in listed["accepted"]] == list(SMOKE)
    assert listed["refused"] == []
    words = ("-b", "numpy.matmul", "--tier", "smoke", "--dtype", "float32", "--op", "forward", "--jobs", "1")
    done = program("run", *words)
    assert done.returncode == 0, done.stderr
    assert f"{len(SMOKE)} pass, 0 fail" in done.stdout
