"""Layers that are wrong where three settings meet pass all cases of before and fail a case of triples."""

from __future__ import annotations

import pytest

import lcl_ref as lcl
from lcl_ref.suite.validation.coverage import Together, settings_of
from tests.support.power import Arrays, Changed, Layer, before, failing, of_topic, outcomes

WRONG: dict[str, Together] = {
    "shared-dilated-table": (("dilation", "dilated"), ("groups", "table"), ("sharing", "all")),
    "dilated-table-in-three-dimensions": (("rank", "3"), ("dilation", "dilated"), ("groups", "table")),
    "shared-groups-with-gaps": (("stride", "gaps"), ("groups", "some"), ("sharing", "all")),
    "table-padded-in-front": (("padding", "more before"), ("groups", "table"), ("bias", "channel")),
    "depthwise-strided-past-the-edge": (("stride", "within"), ("padding", "whole windows"), ("groups", "depthwise")),
    "one-sample-padded-in-front": (("stride", "unit"), ("padding", "more before"), ("batch", "one")),
    "shared-depthwise-of-one-sample": (("rank", "3"), ("sharing", "all"), ("batch", "one")),
}


def where(together: Together) -> Changed:
    def changed(spec: lcl.Spec, results: Arrays) -> None:
        for name in results.keys() & {"y", "dx"}:
            if set(together) <= settings_of(spec, len(results[name])).items():
                results[name][..., -1] += 1

    return changed


@pytest.mark.parametrize("name", WRONG)
def test_only_cases_of_triples_see_it(name: str) -> None:
    layer = Layer(where(WRONG[name]))
    assert failing(outcomes(layer, before())) == set()
    assert failing(outcomes(layer, of_topic("triples")))


def test_a_right_layer_passes() -> None:
    found = outcomes(Layer(), of_topic("triples"))
    assert failing(found) == set()
    assert len(found) > 100
