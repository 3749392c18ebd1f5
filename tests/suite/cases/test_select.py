"""Choosing cases by ids and globs."""

from __future__ import annotations

import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases.catalogue import CASES, select


def test_select_takes_ids_and_globs_in_catalogue_order() -> None:
    assert select([]) == list(CASES)
    assert [case.id for case in select(["2d/plain/square", "1d/plain/odd-kernel"])] == [
        "1d/plain/odd-kernel",
        "2d/plain/square",
    ]
    assert select(["*/nonfinite/*"]) == [case for case in CASES if case.values == "nonfinite"]
    assert select(["1d/*", "1d/plain/*"]) == [case for case in CASES if case.spec.rank == 1]


def test_select_offers_the_nearest_ids() -> None:
    with pytest.raises(lcl.LclError, match="1d/plain/odd-kernel") as caught:
        select(["1d/plain/*", "1d/plain/od-kernel", "nothing"])
    assert [violation.rule for violation in caught.value.violations] == ["case/unknown"] * 2
    assert [violation.got for violation in caught.value.violations] == ["'1d/plain/od-kernel'", "'nothing'"]
