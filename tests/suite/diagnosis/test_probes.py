"""Experiments take place in the process of the layer, which may have patched what they compute with."""

from types import SimpleNamespace

import numpy as np

import lcl_ref as lcl
from lcl_ref.suite.diagnosis.probes import Prober, behaviours
from lcl_ref.suite.run.user_layer import UserAdapter

SPEC = lcl.Spec(input_size=(5,), in_channels=2, out_channels=3, kernel_size=(2,))


def keeps_its_weights():
    kept = []

    def forward(spec, x, weight, bias):
        kept.append((weight, bias))
        return lcl.forward(spec, x, *kept[0])

    return forward


def shown(layer):
    return list(behaviours(Prober(UserAdapter("layer", SimpleNamespace(forward=layer)), SPEC, "float32")))


def test_a_patched_comparison_makes_no_behaviour(monkeypatch):
    monkeypatch.setattr(np, "array_equal", lambda *_, **__: True)
    assert shown(lcl.forward) == []
    assert shown(keeps_its_weights()) == ["behaviour/stale-weights"]
