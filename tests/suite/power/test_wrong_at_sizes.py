"""Layers that are wrong from a size on pass all cases of before and fail a case of sizes; right ones pass both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases.tiers import CORE
from tests.support.marks import quick
from tests.support.power import Arrays, Changed, Layer, before, failing, of_topic, outcomes


def where(holds: Callable[[lcl.Spec], bool], result: str, spoil: Callable[[np.ndarray], None]) -> Changed:
    """Return the mistake that spoils a result of the layers for which something holds."""

    def changed(spec: lcl.Spec, results: Arrays) -> None:
        if result in results and holds(spec):
            spoil(results[result])

    return changed


def last_channel(array: np.ndarray) -> None:
    array[..., -1] = 0


def last_of_32_samples(array: np.ndarray) -> None:
    if len(array) % 32 == 0:
        array[31:] = 0


def beyond_256_sites(array: np.ndarray) -> None:
    array[:, 256:] = array[:, : max(array.shape[1] - 256, 0)]


def beyond_16_bits(array: np.ndarray) -> None:
    flat = array.reshape(len(array), -1, array.shape[-1])
    flat[:, 2**16 :] = 0


WRONG = {
    "blocks-of-16-outputs": where(lambda spec: spec.out_channels % 16 == 0, "y", last_channel),
    "more-than-512-terms": where(lambda spec: spec.fan_in > 512, "y", last_channel),
    "more-than-64-inputs": where(lambda spec: spec.rank > 0 and spec.in_channels > 64, "dx", last_channel),
    "blocks-of-32-samples": where(lambda spec: True, "y", last_of_32_samples),  # noqa: ARG005
    "axes-of-more-than-256": where(lambda spec: spec.rank > 0, "y", beyond_256_sites),
    "more-than-2^16-positions": where(lambda spec: math.prod(spec.output_size) > 2**16, "y", beyond_16_bits),
    "more-than-2^16-weights": where(lambda spec: math.prod(spec.weight_shape) >= 2**16, "dw", last_channel),
    "dilation-of-4": where(lambda spec: any(d > 3 for d in spec.dilation), "y", last_channel),
    "kernel-of-7": where(lambda spec: 7 in spec.kernel_size, "dw", last_channel),
    "depthwise-16": where(lambda spec: spec.groups == spec.in_channels >= 16, "y", last_channel),
}
IN_CORE = (
    "blocks-of-16-outputs",
    "more-than-512-terms",
    "more-than-64-inputs",
    "axes-of-more-than-256",
    "blocks-of-32-samples",
)
OPS = {"more-than-64-inputs": "vjp", "more-than-2^16-weights": "vjp", "kernel-of-7": "vjp"}
MANY = [case for case in of_topic("sizes") if "/positions-" in case.id]
FEW = [case for case in of_topic("sizes") if case not in MANY]


@pytest.mark.parametrize("name", quick(WRONG, every=2))
def test_only_cases_of_sizes_see_it(name: str) -> None:
    layer, ops = Layer(WRONG[name]), (OPS.get(name, "forward"),)
    assert failing(outcomes(layer, before(), ops)) == set()
    seen = failing(outcomes(layer, MANY[2:3] if "positions" in name else FEW, ops))
    assert seen
    assert name not in IN_CORE or seen & set(CORE)


def test_a_right_layer_passes() -> None:
    found = outcomes(Layer(), [*before(), *FEW, *MANY[:1]])
    assert failing(found) == set()
    assert len(found) > 600


def test_the_message_says_which_element_is_wrong() -> None:
    (case,) = [case for case in FEW if case.id == "1d/sizes/channels-127-to-16"]
    (found,) = outcomes(Layer(WRONG["blocks-of-16-outputs"]), [case], ("forward",))
    assert re.match(r"y: \[n=\d, ox=\d, co=15\] got 0.0, expected -?\d+.0; \d+ of 96 elements wrong", found.message)
