"""Layers that only cases of values see (SPEC 11.10), each by its name; right layers pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lcl_ref.suite.cases.catalogue import CASES
from lcl_ref.suite.cases.tiers import SMOKE
from lcl_ref.suite.diagnosis.diagnose import diagnose
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.rounding import NAME, lean
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.user_layer import UserAdapter
from tests.support.kills import STORE
from tests.support.value_layers import FLUSHING, LARGE, NAMED_ZEROS, REALS, ZEROS, Directed, Layer
from tools.limits.directed import DIRECTIONS
from tools.limits.leaning import RIGHT, seen
from tools.worst_operands import climbed, ratios

VALUES = [case for case in CASES if case.topic == "values"]


def is_other(case):
    """Whether a case has finite real numbers, stored ones, and is none of values."""
    return case.topic not in ("values", "sizes", "complex", "nonfinite")


OTHERS = [case for case in CASES if is_other(case) and (case.id in SMOKE or case.id.startswith(("0d/", "1d/rounded")))]
ALL_OTHERS = [case for case in CASES if is_other(case)]


def of_kind(*starts):
    return [case for case in VALUES if case.operands.startswith(starts)]


def outcomes(layer, cases, dtypes=("float32",), ops=("forward", "vjp")):
    evaluator = Evaluator(UserAdapter("layer", layer), STORE, twice=False)
    cells = [Cell("layer", case.id, op, dtype) for case in cases for dtype in dtypes for op in ops]
    with np.errstate(all="ignore"):
        found = [evaluator.judge(cell) for cell in cells if cell_exists(STORE.entries[cell.case], cell.op, cell.dtype)]
    return [outcome for outcome in found if outcome.state != "unsupported"]


def wrong(layer, cases, **asked):
    return [outcome for outcome in outcomes(layer, cases, **asked) if outcome.state != "pass"]


def test_every_kind_is_asked_and_right_layers_pass():
    found = outcomes(Layer(), VALUES, ("float16", "bfloat16", "float32", "float64"))
    assert [(one.case, one.op, one.dtype, one.message) for one in found if one.state != "pass" or one.message] == []
    assert len(found) > 250
    assert not wrong(Layer(), OTHERS)


@pytest.mark.parametrize("name", ZEROS)
def test_only_zeros_show_it(name):
    assert not wrong(ZEROS[name], OTHERS)
    found = wrong(ZEROS[name], VALUES)
    assert found
    assert {one.case.split("/")[2] for one in found} <= {case.id.split("/")[2] for case in of_kind("zero", "scattered")}
    named = {one.diagnosis for one in found}
    assert named == ({"values/no-bias-at-zeros"} if name.startswith(NAMED_ZEROS) else {None})


@pytest.mark.parametrize("name", LARGE)
def test_only_large_whole_numbers_show_it(name):
    layer, words = LARGE[name]
    dtypes = ("float32", "float64")
    assert not wrong(layer, OTHERS, dtypes=dtypes)
    found = wrong(layer, of_kind("large"), dtypes=dtypes)
    assert any(words in one.message for one in found)
    assert found
    assert {one.diagnosis for one in found} <= {None, "values/wraps"}


@pytest.mark.parametrize("name", REALS)
def test_only_reals_of_its_kind_show_it(name):
    layer, kind = REALS[name]
    assert not wrong(layer, OTHERS)
    assert kind in {one.case.split("/")[2] for one in wrong(layer, of_kind(kind))}


@pytest.mark.parametrize("name", FLUSHING)
def test_only_subnormal_numbers_show_it(name):
    layer, dtype = FLUSHING[name]
    assert not wrong(layer, [case for case in OTHERS if case.values == "exact"], dtypes=(dtype,))
    assert dtype == "float16" or not wrong(layer, OTHERS, dtypes=(dtype,))
    assert (
        not wrong(layer, [case for case in VALUES if "subnormal" not in case.tags], dtypes=(dtype,))
        or dtype == "float16"
    )
    found = wrong(layer, of_kind("subnormal"), dtypes=(dtype,))
    assert {one.diagnosis for one in found} == {"values/flushes-subnormals"}
    assert all(one.message.startswith(tuple("yd")) and "does not declare it" in one.message for one in found)


def test_a_layer_that_declares_it_is_not_asked():
    layer = Layer(read=FLUSHING["x"][0].read)
    layer.flushes = ("float32",)
    assert not wrong(layer, VALUES)
    assert outcomes(layer, of_kind("subnormal")) == []
    assert wrong(layer, of_kind("subnormal"), dtypes=("float64",))


def test_a_diagnosis_bears_the_name_of_the_mistake():
    cases = [case.id for case in [*of_kind("zero", "subnormal"), *OTHERS[:20]]]
    for layer, name in ((ZEROS["skips zero windows"], "no-bias-at-zeros"), (FLUSHING["x"][0], "flushes-subnormals")):
        with np.errstate(all="ignore"):
            found = diagnose(UserAdapter("layer", layer), STORE, cases)
        assert [finding.deviations for finding in found.findings] == [(f"values/{name}",)]
        assert found.line.startswith("explains ")


def test_the_worst_operands_are_worse_than_drawn_ones():
    case = next(case for case in VALUES if case.id == "0d/values/worst")
    found, before = ratios(case), ratios(replace(case, moves=()))
    assert 0.4 < found["y"] < 1
    assert found["y"] > 3 * before["y"]
    assert climbed(replace(case, moves=()), 40).moves


@pytest.mark.slow
@pytest.mark.parametrize("layer", [*ZEROS.values(), *(pair[0] for pair in (*LARGE.values(), *REALS.values()))])
def test_no_other_case_of_the_catalogue_shows_it(layer):
    assert not wrong(layer, ALL_OTHERS)


# --- rounding to one side ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_sums_rounded_to_one_side_pass_with_a_warning(direction, dtype):
    cases = [*of_kind("positive"), *(case for case in CASES if case.id == "2d/rounded/plain")]
    found = outcomes(Directed(direction), cases, (dtype,))
    assert {one.state for one in found} == {"pass"}
    warned = {(one.case, one.op): one.message for one in found if NAME in one.message}
    assert warned.keys() >= {(case.id, op) for case in of_kind("positive") for op in ("forward", "vjp")}
    assert direction in warned["2d/rounded/plain", "vjp"]  # where all results are positive, zero lies downwards


def test_no_right_result_is_warned_of():
    for dtype in ("float16", "float32", "float64"):
        found = seen(dtype, RIGHT, 40_000, seed=3)
        assert sum(one.results for one in found.values()) >= 40_000
        assert [name for name, one in found.items() if one.alarms] == []
        assert 0.5 < max(one.share for one in found.values()) < 0.65


def test_few_errors_say_nothing():
    error, truth = np.full(256, 1e-9), np.ones(256)
    assert lean(error, truth) == "100% of 256 errors upwards: operations do not round to nearest"
    assert lean(-error, -truth).startswith("100% of 256 errors downwards")
    assert lean(error[1:], truth[1:]) == ""
    mixed = np.where(np.arange(256) % 4 < 1, -error, error)
    assert lean(mixed, truth) != ""
    mixed[1] = -mixed[1]
    assert lean(mixed, truth) == ""
