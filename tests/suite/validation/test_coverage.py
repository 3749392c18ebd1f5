"""All pairs and triples of settings that can stand together are asked for, and no case asks for an impossible one."""

from __future__ import annotations

import json
import re
from itertools import combinations, product

import pytest

import lcl_ref as lcl
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.validation import coverage
from lcl_ref.suite.validation.coverage import IMPOSSIBLE, PARAMETERS, TRIPLES, legal, settings_of
from tests.support.paths import ROOT
from tests.support.programs import lcl as program
from tests.support.tables import table

ENTRIES = Store(default_root()).entries
DESIGN = (ROOT / "docs" / "design-of-the-suite.md").read_text(encoding="utf-8")

LAYER = {"input_size": 9, "in_channels": 4, "out_channels": 8, "kernel_size": 3}


def layer(**changes: object) -> dict[str, str]:
    return settings_of(lcl.Spec(**LAYER | changes), 2)


@pytest.mark.parametrize("size", [coverage.PAIRS, TRIPLES])
def test_everything_that_can_stand_together_is_asked_for(size: int) -> None:
    covered = coverage.coverage(ENTRIES.values(), size)
    assert [together for together, cases in covered.items() if not cases] == []


def test_no_case_asks_for_a_pair_that_is_called_impossible() -> None:
    assert {pair for entry in ENTRIES.values() for pair in coverage.asked_by(entry)} - set(legal()) == set()


def test_a_triple_is_legal_where_its_pairs_are() -> None:
    pairs = set(legal())
    triples = legal(TRIPLES)
    assert len(triples) == len(set(triples)) > 5000
    assert all(set(combinations(triple, 2)) <= pairs for triple in triples)
    three = (("rank", "2"), ("dilation", "dilated"), ("groups", "table"))
    assert three in triples
    assert (("rank", "1"), ("groups", "table"), ("sharing", "some")) not in triples


@pytest.mark.parametrize("rank", ["1", "2", "3"])
def test_every_rank_has_dilation_with_sharing_with_depthwise_channels_and_with_a_table(rank: str) -> None:
    covered = coverage.coverage(ENTRIES.values(), TRIPLES)
    dilated = (("rank", rank), ("dilation", "dilated"))
    wanted = [("groups", "depthwise"), ("groups", "table"), ("sharing", "all")]
    assert all(covered[(*dilated, setting)] for setting in wanted)


def test_every_value_of_every_parameter_is_found_and_named() -> None:
    found = {setting for entry in ENTRIES.values() for pair in coverage.asked_by(entry) for setting in pair}
    assert found == {(name, value) for name, values in PARAMETERS.items() for value in values}


def test_legal_pairs_are_all_pairs_but_the_impossible_ones() -> None:
    every = sum(len(one) * len(other) for one, other in combinations(PARAMETERS.values(), 2))
    # Rank 0 goes with "no axis" alone and other ranks with all else: 3 + 4, 3 + 2 and 3 + 5 pairs; "no axis" meets only
    # itself: 4 + 2, 4 + 5, 2 + 5; rank 0 and each "no axis" share nothing: 4 * 2; rank 1 not some; tiling: 1 + 4.
    impossible = (7 + 5 + 8) + (6 + 9 + 7) + 8 + 1 + 5
    assert len(legal()) == every - impossible
    assert all(any(rule.excludes(pair) for pair in product(*_settings(rule))) for rule in IMPOSSIBLE)


def _settings(rule: coverage.Impossible) -> tuple[list[coverage.Setting], list[coverage.Setting]]:
    return [rule.setting], [(rule.parameter, value) for value in rule.values]


@pytest.mark.parametrize(
    ("parameter", "value", "changes"),
    [
        (parameter, value, changes)
        for parameter, values in table(__file__, "layers.toml")["settings"].items()
        for value, layers in values.items()
        for changes in layers
    ],
)
def test_settings_of_a_layer(parameter: str, value: str, changes: dict) -> None:
    assert layer(**changes)[parameter] == value


def test_an_empty_batch_answers_only_for_pairs_with_the_batch() -> None:
    entry = ENTRIES["1d/combined/empty-strided-convolution"]
    found = coverage.asked_by(entry)
    assert (("stride", "within"), ("batch", "empty")) in found
    assert all(("batch", "empty") in pair for pair in found)


def test_cases_left_out_leave_their_pair_out() -> None:
    pair = (("dilation", "dilated"), ("groups", "table"))
    entries = [entry for entry in ENTRIES.values() if pair not in coverage.asked_by(entry)]
    missing = [each for each, cases in coverage.coverage(entries).items() if not cases]
    assert pair in missing
    assert len(entries) > len(ENTRIES) / 2


def test_the_page_lists_the_values() -> None:
    chapter = DESIGN.partition("(clause 11.6)\n")[2].partition("\n## ")[0]
    names = {"dtype": "format", "op": "operation"}
    rows = {line.split(" | ")[0].strip("| "): line for line in chapter.splitlines() if line.startswith("| ")}
    assert set(rows) - {"setting"} == {names.get(name, name) for name in PARAMETERS}
    for name, values in PARAMETERS.items():
        words = [value.split()[0] for value in values if value != coverage.NO_AXIS]
        assert [word for word in words if word not in rows[names.get(name, name)]] == [], name


def test_the_command_prints_what_is_missing() -> None:
    whole = json.loads(program("cases", "--coverage", "--json", check=True).stdout)
    assert whole["covered"] == whole["legal"] == len(legal())
    assert whole["triples"] == {"legal": len(legal(TRIPLES)), "covered": len(legal(TRIPLES)), "missing": []}
    part = program("cases", "--coverage", "-c", "1d/*", check=True).stdout
    assert "some + empty" in part
    assert re.search(r"^\d+ of 5118 legal triples \(\d\d\.\d %\) in \d+ cases$", part, re.MULTILINE)
