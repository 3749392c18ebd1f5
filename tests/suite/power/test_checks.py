"""Layers that only the checks see: each fails under its own name, and is right when it is asked plainly."""

import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from lcl_ref.suite.adapter import OPS
from lcl_ref.suite.cases.tiers import SMOKE, in_tier
from lcl_ref.suite.checks.catalogue import CHECKS
from lcl_ref.suite.checks.examiner import Examiner
from lcl_ref.suite.diagnosis.diagnose import Diagnosis
from lcl_ref.suite.diagnosis.failed_checks import with_checks
from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.golden.store import Store
from lcl_ref.suite.judge.evaluate import Evaluator
from lcl_ref.suite.judge.outcome import Cell
from lcl_ref.suite.judge.tasks import cell_exists
from lcl_ref.suite.run.user_layer import as_adapter
from tests.support.careless import CARELESS, Layer, Prepared, prepares, twin

STORE = Store(default_root())
PAIRS = pytest.mark.parametrize(("name", "layer"), CARELESS.items(), ids=CARELESS)


@pytest.fixture(autouse=True)
def _state_of_the_process():
    """Put back what careless layers change."""
    environment, folder = dict(os.environ), Path.cwd()
    drawn, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with np.errstate(), warnings.catch_warnings():
        yield
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    random.setstate(drawn)
    np.random.set_state(numbers)  # noqa: NPY002
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def asked(layer, names, seed=0):
    """Return the outcomes of some checks."""
    examiner = Examiner(as_adapter("layer", layer), STORE, seed, alone=False)
    return [examiner.judge(Cell("layer", name, op, "float32")) for name in names for op in CHECKS[name].ops]


def plainly(layer, cases):
    """Return what is wrong with a layer in the cells of some cases."""
    evaluator = Evaluator(as_adapter("layer", layer), STORE)
    cells = [
        Cell("layer", case, op, "float32")
        for case in cases
        for op in OPS
        if cell_exists(STORE.entries[case], op, "float32")
    ]
    with np.errstate(invalid="ignore"):
        outcomes = [evaluator.judge(cell) for cell in cells]
    return [outcome.message for outcome in outcomes if outcome.state != "pass"]


def test_every_check_has_a_layer_that_fails_it():
    assert CARELESS.keys() == {name for name, check in CHECKS.items() if check.programs != "only"}


@PAIRS
def test_a_careless_layer_fails_under_the_name_of_its_mistake(name, layer):
    found = [outcome for outcome in asked(layer, [name]) if outcome.state != "pass"]
    assert found
    assert {outcome.state for outcome in found} == ({"error"} if name == "memory/read-only" else {"fail"})
    assert {outcome.diagnosis for outcome in found} == {name}


@PAIRS
def test_its_twin_passes(name, layer):
    assert {(one.state, one.message) for one in asked(twin(layer), [name])} == {("pass", "")}


def test_a_right_layer_passes_every_check():
    outcomes = asked(twin(CARELESS["memory/native"]), CARELESS)
    assert {(one.case, one.message) for one in outcomes if one.state != "pass"} == set()


@PAIRS
def test_plain_questions_do_not_show_it(name, layer):
    del name
    assert not plainly(layer, SMOKE)


def test_a_layer_that_needs_contiguous_arrays_says_so():
    layer = type("Contiguous", (CARELESS["memory/strided"],), {"contiguous_only": "a kernel of C"})
    strided, offset = asked(layer, ["memory/strided"]), asked(layer, ["memory/offset"])
    assert {(outcome.state, outcome.message) for outcome in strided} == {("unsupported", "a kernel of C")}
    assert {outcome.state for outcome in offset} == {"pass"}


@pytest.mark.parametrize(
    ("text", "states"), [("no negative strides here", {"unsupported"}), ("something else", {"error"})]
)
def test_tensors_without_negative_strides_may_be_refused(text, states):
    class Refuses(Prepared):
        def forward(self, x):
            if min(x.strides) < 0:
                raise ValueError(text)
            return super().forward(x)

    outcomes = asked(prepares(Refuses), ["memory/negative-stride"])
    assert {one.state for one in outcomes if one.cell.op == "forward"} == states


def test_no_layer_may_decline_to_be_a_function():
    layer = type("Declines", (CARELESS["state/stale-input"],), {"declines": {"state/*": "it would rather not"}})
    assert "fail" in {outcome.state for outcome in asked(layer, ["state/stale-input"])}
    assert {outcome.state for outcome in asked(layer, ["state/threads"])} == {"unsupported"}


def test_what_is_plainly_wrong_is_not_for_checks_to_say():
    class Negative(Prepared):
        def forward(self, x):
            return -super().forward(x)

    class Raises(Prepared):
        def forward(self, x):
            raise ValueError("no")

    for layer, check in ((Negative, "memory/fortran"), (Raises, "memory/fortran"), (Raises, "state/writes-operands")):
        (forward, *_) = asked(prepares(layer), [check])
        assert forward.state == "not_run"
        assert "the same way" in forward.message


def test_a_diagnosis_bears_the_name_of_the_check():
    right = Diagnosis("layer", "nothing to diagnose: all 9 answers are right", {"pass": 9})
    found = with_checks(right, asked(CARELESS["state/shared-buffer"], ["state/shared-buffer"]))
    assert found.line == "state/shared-buffer: gives every answer in one buffer"
    assert [finding.deviations for finding in found.findings] == [("state/shared-buffer",)]
    assert with_checks(right, asked(Layer, ["state/shared-buffer"])).line == right.line


@pytest.mark.slow
@PAIRS
def test_no_case_of_the_catalogue_shows_it(name, layer):
    del name
    assert not plainly(layer, in_tier("full"))
