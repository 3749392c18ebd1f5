"""Errors carry their facts and render them in one order."""

import copy
import pickle

import pytest

import lcl_ref as lcl
from lcl_ref.errors import Violation

STRIDE = Violation("stride/at-least-1", "stride", "0", "at least 1", axis="y", todo="use 1 for dense positions")
GROUPS = Violation("in_channels/divisible", "in_channels", "5 with groups=2", "a multiple of groups (5 = 2*2 + 1)")


def test_a_violation_reads_what_where_got_expected_todo():
    assert str(STRIDE) == "stride, axis y: got 0, expected at least 1; use 1 for dense positions"


def test_a_violation_leaves_out_what_it_does_not_have():
    assert str(GROUPS) == "in_channels: got 5 with groups=2, expected a multiple of groups (5 = 2*2 + 1)"


def test_the_first_violation_is_offered_as_fields():
    error = lcl.SpecError([STRIDE, GROUPS])
    assert (error.rule, error.what, error.axis) == ("stride/at-least-1", "stride", "y")
    assert (error.got, error.expected, error.todo) == ("0", "at least 1", "use 1 for dense positions")
    assert error.violations == (STRIDE, GROUPS)


def test_one_violation_is_one_line_and_several_are_a_list():
    assert str(lcl.ShapeError(GROUPS)) == str(GROUPS)
    assert str(lcl.SpecError([STRIDE, GROUPS])) == f"2 rules are broken:\n  - {STRIDE}\n  - {GROUPS}"


def test_context_stands_in_front():
    assert str(lcl.FixtureError(GROUPS, context="index.json")) == f"index.json: {GROUPS}"
    assert str(lcl.SpecError([STRIDE, GROUPS], context="layer 3")).startswith("layer 3: 2 rules are broken:\n")


@pytest.mark.parametrize("kind", [lcl.SpecError, lcl.ShapeError, lcl.LayoutError, lcl.FixtureError, lcl.AdapterError])
def test_every_error_is_an_lcl_error_and_a_value_error(kind):
    assert issubclass(kind, lcl.LclError)
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize("duplicate", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_the_way_between_processes(duplicate):
    error = lcl.SpecError([STRIDE, GROUPS], context="layer 3")
    again = duplicate(error)
    assert type(again) is lcl.SpecError
    assert (again.violations, again.context, str(again)) == (error.violations, error.context, str(error))
