"""Every refusal of the catalogue is raised, under its own rule, with what was found and what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref.suite.cases.case import ARRAYS, LAYER, Refusal
from lcl_ref.suite.cases.catalogue import REFUSALS

LAYERS = [refusal for refusal in REFUSALS if refusal.arrays is None]
SHAPES = [refusal for refusal in REFUSALS if refusal.arrays is not None]

SEVERAL = {
    "refused/groups/both": {"in_channels/divisible", "out_channels/divisible"},
    "refused/arrays/x-area": {"x/iy", "x/ix"},
    "refused/arrays/x-channels-first": {"x/iy", "x/ix", "x/ci"},
    "refused/arrays/weight-positions-swapped": {"weight/oy", "weight/ox"},
    "refused/arrays/weight-taps-swapped": {"weight/ky", "weight/kx"},
    "refused/arrays/weight-channels-swapped": {"weight/cg", "weight/co"},
    "refused/arrays/bias-channels-first": {"bias/oy", "bias/ox", "bias/co"},
    "refused/arrays/dy-positions": {"dy/oy", "dy/ox"},
}
"""Refusals that break more than the one rule they are about."""


def named(refusals: list[Refusal]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("refusal", refusals, ids=[refusal.id for refusal in refusals])


def call(refusal: Refusal) -> Any:
    """Run the layer of `refusal` on arrays of its shapes: `vjp` where there is a cotangent, else `forward`."""
    assert refusal.arrays is not None
    arrays = {name: None if shape is None else np.ones(shape) for name, shape in refusal.arrays.items()}
    spec = lcl.Spec(**refusal.arguments)
    if "dy" in arrays:
        return lcl.vjp(spec, arrays["x"], arrays["weight"], arrays["bias"], arrays["dy"])
    return lcl.forward(spec, arrays["x"], arrays["weight"], arrays["bias"])


def check(error: lcl.LclError, refusal: Refusal) -> None:
    rules = {violation.rule for violation in error.violations}
    assert rules == SEVERAL.get(refusal.id, {refusal.rule})
    for violation in error.violations:
        assert violation.got
        assert violation.expected
        assert f"got {violation.got}, expected {violation.expected}" in str(error)
        assert violation.what in str(error)
        if violation.axis:
            assert f"axis {violation.axis}" in str(error)


def broken(function: Callable[..., Any], *given: Any, **arguments: Any) -> list[str]:
    """Return the rules that a call is refused under."""
    with pytest.raises(lcl.LclError) as caught:
        function(*given, **arguments)
    assert type(caught.value) is (lcl.SpecError if arguments or function == lcl.Spec.from_json else lcl.ShapeError)
    return [violation.rule for violation in caught.value.violations]


@named(LAYERS)
def test_layer_is_refused_under_its_rule(refusal: Refusal) -> None:
    with pytest.raises(lcl.SpecError) as caught:
        lcl.Spec(**refusal.arguments)
    check(caught.value, refusal)


@named(SHAPES)
def test_arrays_are_refused_under_their_rule(refusal: Refusal) -> None:
    with pytest.raises(lcl.ShapeError) as caught:
        call(refusal)
    check(caught.value, refusal)


def test_unchanged_layer_and_arrays_are_accepted() -> None:
    good = Refusal(id="", rule="", why="", clauses=(), arguments=LAYER, arrays=ARRAYS)
    assert call(good).shape == (2, 6, 5, 10)


def test_every_broken_rule_is_reported_at_once() -> None:
    with pytest.raises(lcl.SpecError, match="5 rules are broken") as caught:
        lcl.Spec(input_size=(8, 0), in_channels="4", out_channels=10, kernel_size=3, stride=(2,), bias=1, shared=0)
    rules = [violation.rule for violation in caught.value.violations]
    assert rules == ["input_size/at-least-1", "stride/length", "in_channels/integer", "shared/bool", "bias/name"]


def test_no_window_arithmetic_on_top_of_a_bad_size() -> None:
    assert broken(lcl.Spec, **LAYER | {"kernel_size": (0, 99)}) == ["kernel_size/at-least-1"]


def test_a_window_that_does_not_fit_shows_its_arithmetic() -> None:
    with pytest.raises(lcl.SpecError) as caught:
        lcl.Spec(**LAYER | {"kernel_size": (3, 4), "dilation": (1, 3), "padding": ((0, 0), (1, 2))})
    assert (caught.value.what, caught.value.axis) == ("output_size", "x")
    assert caught.value.got == "output size 0 = floor((6 + 1 + 2 - 3*(4 - 1) - 1) / 1) + 1"
    assert "pad more" in caught.value.todo


def test_weight_position_axis_shows_the_arithmetic_of_the_output_size() -> None:
    spec = lcl.Spec(**LAYER)
    with pytest.raises(lcl.ShapeError) as caught:
        lcl.forward(spec, np.ones(ARRAYS["x"]), np.ones((7, 5, 3, 2, 4, 10)), np.ones(ARRAYS["bias"]))
    assert caught.value.axis == "oy"
    assert caught.value.got == "7 elements (oy=7, ox=5, ky=3, kx=2, cg=4, co=10)"
    assert caught.value.expected == "6 = floor((8 + 0 + 0 - 1*(3 - 1) - 1) / 1) + 1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": "same"}, r"same_upper.*same_keras_local"),
        ({"padding": "Same_Lowr"}, "did you mean 'same_lower'"),
        ({"input_size": 8, "kernel_size": 3, "padding": (1, 2)}, r"write padding=\(\(1, 2\),\)"),
    ],
)
def test_padding_is_refused_with_what_to_write_instead(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(lcl.SpecError, match=message):
        lcl.Spec(**LAYER | changes)


def test_unbatched_input_is_told_the_axes() -> None:
    with pytest.raises(lcl.ShapeError, match=r"expected 4 axes \(n, iy=8, ix=6, ci=4\)"):
        lcl.forward(lcl.Spec(**LAYER), np.ones((8, 6, 4)), np.ones(ARRAYS["weight"]), np.ones(ARRAYS["bias"]))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ([[1.0], [1.0, 2.0]], "x/ragged"),
        (np.full(ARRAYS["x"], "1"), "x/dtype"),
        (np.full(ARRAYS["x"], "1", dtype=object), "x/dtype"),
        (np.zeros(ARRAYS["x"], dtype=[("a", "f4")]), "x/dtype"),
        (np.zeros(ARRAYS["x"], dtype="m8[s]"), "x/dtype"),
    ],
)
def test_what_holds_no_numbers_is_refused(value: Any, rule: str) -> None:
    weight, bias = np.ones(ARRAYS["weight"]), np.ones(ARRAYS["bias"])
    assert broken(lcl.forward, lcl.Spec(**LAYER), value, weight, bias) == [rule]


def test_transpose_checks_its_own_operands() -> None:
    rules = ["y/oy", "y/ox", "y/co", "weight/presence"]
    assert broken(lcl.transpose, lcl.Spec(**LAYER), np.ones((2, 8, 6, 4)), None) == rules


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"strides": 2}, ["fields/unknown"]),
        ({"kernel_size": None, "data_format": "channels_first"}, ["fields/unknown", "fields/missing"]),
    ],
)
def test_from_json_names_unknown_and_missing_fields(changes: dict[str, Any], rules: list[str]) -> None:
    values = {name: value for name, value in (LAYER | changes).items() if value is not None}
    assert broken(lcl.Spec.from_json, json.dumps(values)) == rules


@pytest.mark.parametrize(("text", "rule"), [("{", "json/syntax"), ("[8, 6]", "json/object")])
def test_from_json_refuses_what_is_no_object(text: str, rule: str) -> None:
    assert broken(lcl.Spec.from_json, text) == [rule]


@pytest.mark.parametrize("value", [{3, 2}, b"ab", {"y": 3, "x": 2}, iter((3, 2))])
def test_only_ordered_sequences_give_one_entry_per_axis(value: Any) -> None:
    assert broken(lcl.Spec, **LAYER | {"kernel_size": value}) == ["kernel_size/integer"]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("kernel_size", 0, "kernel_size/at-least-1"),
        ("padding", "full", "padding/name"),
        ("padding", -1, "padding/at-least-0"),
        ("padding", None, "padding/integer"),
        ("shared", 1, "shared/bool"),
    ],
)
@pytest.mark.parametrize("rank", [0, 2])
def test_one_value_for_all_axes_is_checked_once_also_where_there_is_no_axis(
    rank: int, field: str, value: Any, rule: str
) -> None:
    with pytest.raises(lcl.SpecError) as caught:
        lcl.Spec(**LAYER | {"input_size": (8, 6)[:rank], "kernel_size": 3, field: value})
    assert [(violation.rule, violation.axis) for violation in caught.value.violations] == [(rule, "")]


def test_one_value_that_is_right_is_accepted_where_there_is_no_axis() -> None:
    layer = {"input_size": (), "in_channels": 4, "out_channels": 10}
    lists = lcl.Spec(**layer, kernel_size=(), stride=(), padding=(), dilation=(), shared=())
    assert lcl.Spec(**layer, kernel_size=3, stride=2, padding="same_upper", dilation=2, shared=True) == lists
    assert lcl.Spec(input_size=5, in_channels=4, out_channels=10, kernel_size=3).input_size == (5,)


def test_no_table_may_be_written_as_null() -> None:
    assert lcl.Spec.from_dict(LAYER | {"channel_table": None}) == lcl.Spec.from_dict(LAYER)


def test_numpy_sizes_flags_and_tables_are_accepted() -> None:
    plain = lcl.Spec(**LAYER, shared=(True, False), channel_table=((0, 1),) * 10)
    table = np.tile(np.arange(2), (10, 1))
    sizes = {name: np.array(value) for name, value in LAYER.items()}
    assert lcl.Spec(**sizes, shared=np.array([True, False]), channel_table=table) == plain
