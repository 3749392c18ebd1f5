"""The smaller tiers hold what they promise, and no case that they could do without."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

import lcl_ref as lcl
from lcl_ref.suite import catalogue, coverage
from lcl_ref.suite.cases import CASES, select
from lcl_ref.suite.cases.tiers import CORE, FIRST, SMOKE
from lcl_ref.suite.covering import CORE_KILLS, choose, cover
from lcl_ref.suite.deviations import CATALOGUE
from lcl_ref.suite.fixtures import default_root
from lcl_ref.suite.mutants import KillMatrix, kill_matrix
from lcl_ref.suite.store import Store
from lcl_ref.suite.tiers import TIERS, in_tier, tier_of

STORE = Store(default_root())


@cache
def matrix() -> KillMatrix:
    return kill_matrix(STORE, select(CORE))


def anew() -> str:
    """What to write into the module, where the tiers no longer suffice."""
    pairs = coverage.coverage(STORE.entries.values()).values()
    smoke, core = choose(kill_matrix(STORE).killers, pairs)
    return f"write into lcl_ref/suite/cases/tiers.py: SMOKE = {smoke}; CORE = {core}"


def short_of_kills(ids: tuple[str, ...], kills: int) -> list[str]:
    killers = matrix().killers
    return [deviation.id for deviation in CATALOGUE if len(killers[deviation.id] & set(ids)) < kills]


def missing_pairs(ids: tuple[str, ...]) -> list[coverage.Pair]:
    covered = coverage.coverage(STORE.entries[name] for name in ids)
    return [pair for pair, cases in covered.items() if not cases]


def test_smoke_kills_every_deviation() -> None:
    assert short_of_kills(SMOKE, 1) == [], anew()


def test_core_kills_every_deviation_twice_and_asks_for_every_pair() -> None:
    assert short_of_kills(CORE, CORE_KILLS) == [], anew()
    assert missing_pairs(CORE) == [], anew()


def test_core_is_small() -> None:
    """A case in it was needed when it was chosen: hardly any can be left out again."""
    spare = [
        name
        for name in set(CORE) - set(SMOKE)
        if not missing_pairs(rest := tuple(other for other in CORE if other != name))
        and not short_of_kills(rest, CORE_KILLS)
    ]
    assert len(spare) <= len(CORE) // 10, anew()
    assert len(CORE) < len(CASES) / 3


def test_tiers_lie_in_each_other_and_name_cases() -> None:
    assert set(FIRST) <= set(SMOKE) <= set(CORE) <= {case.id for case in CASES}
    assert [in_tier(tier) for tier in TIERS] == [list(SMOKE), list(CORE), [case.id for case in CASES]]
    assert {tier_of(case) for case in select(CORE)} == {"smoke", "core"}
    assert tier_of(select(["2d/plain/square"])[0]) == "smoke"


def test_a_tier_without_a_matching_case_is_refused() -> None:
    assert in_tier("smoke", ["2d/plain/*"]) == ["2d/plain/tall-kernel", "2d/plain/square"]
    with pytest.raises(lcl.LclError, match="tier smoke"):
        in_tier("smoke", ["1d/padding/causal"])


@pytest.mark.parametrize("declaration", catalogue.declarations(), ids=lambda declaration: declaration.name)
def test_smoke_asks_every_adapter_something(declaration: object) -> None:
    can = declaration.capabilities
    asked = [case for case in select(SMOKE) if can.refusal(case.spec, can.dtypes[0], can.ops[0], case.tags) is None]
    assert asked


def test_cover_meets_every_need_that_can_be_met() -> None:
    ids = [case.id for case in CASES[:4]]
    needs = [(frozenset(ids[:2]), 1), (frozenset(ids[1:3]), 2), (frozenset(ids[3:4]), 2), (frozenset(), 1)]
    assert set(cover(needs)) == set(ids[1:])
    assert cover(needs, [ids[0]])[0] == ids[0]


def test_the_commands_take_a_tier() -> None:
    command = [sys.executable, "-m", "lcl_ref", "cases", "--tier", "smoke", "--json"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [case["id"] for case in listed["accepted"]] == list(SMOKE)
    assert listed["refused"] == []
    words = ["run", "-b", "numpy.matmul", "--tier", "smoke", "--dtype", "float32", "--op", "forward", "--jobs", "1"]
    done = subprocess.run([sys.executable, "-m", "lcl_ref", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(SMOKE)} pass, 0 fail" in done.stdout
