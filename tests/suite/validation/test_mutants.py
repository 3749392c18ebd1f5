"""What the cases can see: every known mistake is seen, and what is not seen is proved to be no mistake."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lcl_ref as lcl
from lcl_ref import api
from lcl_ref.suite.cases.catalogue import CASES, select
from lcl_ref.suite.diagnosis.deviations import CATALOGUE, COMPUTED, Refused, find, results
from lcl_ref.suite.formats import FORMATS
from lcl_ref.suite.judge.bounds import accumulation_of
from lcl_ref.suite.judge.compare import Malformed, Mismatch, check
from lcl_ref.suite.judge.observation import rejected
from lcl_ref.suite.judge.tasks import cell_exists, load_task
from lcl_ref.suite.validation.equivalence import equivalent
from lcl_ref.suite.validation.mutants import broken_promises, idle_cases, kill_matrix
from lcl_ref.suite.validation.mutants_page import page
from tests.support.kills import STORE, computed, matrix
from tests.support.programs import lcl as program

BY_ID = {case.id: case for case in CASES}


def test_the_stored_table_is_what_a_part_of_the_cases_computed_anew_says():
    """All of them are computed by the slow test below, and by `lcl mutants`.

    Whether a layer keeps old weights shows only where certain cases follow each other.
    """
    anew, ids = computed(), {case.id for case in computed().cases}
    stored = {seen: cases & ids for seen, cases in matrix().killers_by_op.items()}
    for name, op in anew.killers_by_op:
        if find(name).kind != "behaviour":
            assert anew.killers_by_op[name, op] == stored[name, op], (name, op)
    assert len(ids) > 60


@pytest.mark.slow
def test_the_stored_table_is_what_all_cases_computed_anew_say():
    assert kill_matrix(STORE).killers_by_op == matrix().killers_by_op


def test_every_deviation_is_killed_as_often_as_promised():
    assert broken_promises(matrix()) == []
    assert set(matrix().killers) == {deviation.id for deviation in CATALOGUE}


def test_every_case_kills_something():
    assert [case.id for case in idle_cases(matrix())] == []


def test_survivors_are_proved_equal_or_excused():
    """A deviation that a case does not show is the same layer there, or concerns other values than the case has."""
    blind = {
        (deviation.kind, BY_ID[case].values)
        for (name, case, _), state in computed().states.items()
        if state == "blind"
        for deviation in [find(name)]
    }
    exact_in_every_format = {("precision", "exact"), ("precision", "nonfinite")}
    nothing_infinite = {("nonfinite", "exact"), ("nonfinite", "rounded")}
    right_as_functions = {("behaviour", "exact"), ("behaviour", "rounded"), ("behaviour", "nonfinite")}
    allowed = exact_in_every_format | nothing_infinite | right_as_functions | {("nonfinite", "nonfinite")}
    assert blind <= allowed


def test_equivalent_means_equal_for_other_operands_too():
    """Spot checks of the proofs: fresh operands never tell an equivalent deviation from the layer."""
    stream = np.random.Generator(np.random.Philox(7))
    proved = [cell for cell, state in computed().states.items() if state == "equivalent" and cell[2] == "forward"]
    assert len(proved) > 400
    for name, case, _ in proved[:: max(1, len(proved) // 200)]:
        spec, batch = BY_ID[case].spec, BY_ID[case].batch
        x, weight = (
            stream.integers(-50, 50, shape).astype(float) for shape in (spec.x_shape(batch), spec.weight_shape)
        )
        given = {"x": x, "weight": weight}
        if spec.bias_shape is not None:
            given["bias"] = stream.integers(-50, 50, spec.bias_shape).astype(float)
        np.testing.assert_array_equal(
            results(spec, given, (find(name),))["y"], api.forward(spec, x, weight, given.get("bias"))
        )


def test_symmetric_kernel_is_the_textbook_equivalent_mutant():
    """Kernel axes swapped is no mistake where one of them has length 1, and one where both are longer."""
    swapped = find("taps/axes-swapped")
    flat = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=(3, 1))
    square = lcl.Spec(input_size=(5, 4), in_channels=2, out_channels=3, kernel_size=(2, 2))
    assert equivalent(flat, 2, swapped, "forward")
    assert not equivalent(square, 2, swapped, "forward")
    assert not equivalent(flat, 2, find("precision/half-output"), "forward")


def test_quick_verdict_is_the_verdict_of_the_suite():
    """Exact answers are rejected without computing limits: `compare.check` says the same."""
    for case in [case for case in CASES if not case.generated][::9]:
        task = load_task(STORE, case.id, "float32")
        for deviation in COMPUTED[::5]:
            for op in deviation.ops:
                if not cell_exists(STORE.entries[case.id], op, "float32"):
                    continue
                try:
                    answer = results(task.spec, task.operands, (deviation,), op)
                except Refused:
                    continue
                assert rejected(task, op, answer) == checked(task, op, answer), (case.id, deviation.id, op)


def checked(task, op, answer):
    try:
        for expected in task.expected(op, accumulation_of(task.dtype, op, {})):
            check(expected, answer[expected.result].astype(FORMATS["float32"].dtype))
    except (Mismatch, Malformed):
        return True
    return False


def test_weak_cases_would_be_noticed():
    """The gates bite: one square layer without stride, padding, groups or sharing cannot see those."""
    square = select(["2d/plain/square"])
    short = broken_promises(kill_matrix(STORE, square))
    unseen = {"stride/ignored", "padding/edge", "groups/ignored", "dw/last-shared-position"}
    assert {f"{deviation}: killed by no case" for deviation in unseen} <= set(short)
    assert "taps/flipped: vjp killed by 0 cases of the smoke tier, promised 1" in short


def test_command_writes_matrix_and_picture(tmp_path):
    done = program("mutants", "-c", "1d/p*", "--json", "m.json", "--html", "m.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "m.json").read_text())
    assert document["format"] == "lcl-mutants/1"
    assert document["matrix"]["taps/flipped"]["1d/plain/odd-kernel"] == "KKK"
    assert {row["id"] for row in document["deviations"]} == {deviation.id for deviation in CATALOGUE}
    assert page(kill_matrix(STORE, select(["1d/p*"]))) == (tmp_path / "m.html").read_text()


def test_unknown_case_is_one_line():
    done = program("mutants", "-c", "4d/none/*")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
